// What the screens of one tab share: its database, the wallet that is connected, the seed once opened.
import { type Address, checksum, fromHex } from '../core/index.js';
import { Db } from '../keep/db.js';
import type { Keys } from '../keep/keys.js';
import type { Purchases } from '../keep/purchases.js';
import type { Wallet } from '../net/wallets.js';

const DATABASE = 'dam';

/** The wallet, as far as it can be used: `chain` is the one of ours that it is on, 0 for none. */
export interface Connected {
  wallet: Wallet | undefined;
  account: string;
  chain: number;
}

/** Tells `changed` when the wallet did, and `connect` when somebody wants one. */
export class Session extends EventTarget {
  connected: Connected = { wallet: undefined, account: '', chain: 0 };
  /** For this tab's life: the passphrase is asked for once. */
  seed: Uint8Array | undefined;
  private opened: Promise<Db> | undefined;

  db(): Promise<Db> {
    this.opened ??= Db.open(DATABASE);
    return this.opened;
  }

  async purchases(): Promise<Purchases> {
    const { Purchases } = await import('../keep/purchases.js');
    return new Purchases(await this.db());
  }

  async keys(): Promise<Keys> {
    const { Keys } = await import('../keep/keys.js');
    return new Keys(await this.db());
  }

  /** The account that would pay, where the wallet is on this chain. */
  accountOn(chain: number): Address | undefined {
    const { account } = this.connected;
    return account && this.connected.chain === chain ? checksum(fromHex(account)) : undefined;
  }

  tell(connected: Connected): void {
    const { wallet, account, chain } = this.connected;
    this.connected = connected;
    if (wallet !== connected.wallet || account !== connected.account || chain !== connected.chain)
      this.dispatchEvent(new Event('changed'));
  }

  wantWallet(): void {
    this.dispatchEvent(new Event('connect'));
  }
}
