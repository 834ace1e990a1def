import { html, nothing, type TemplateResult } from 'lit';
import {
  accountOf,
  chainOf,
  readAccount,
  readQuantity,
  sameChain,
  switchChain,
  type Wallet,
  WalletError,
  Wallets,
} from '../net/wallets.js';
import { shortAddress } from './amounts.js';
import { Screen } from './base.js';
import type { Market } from './server.js';
import { words } from './words.js';

const KEPT = 'dam-wallet';
type State = 'off' | 'asking' | 'on' | 'wrongChain' | 'otherCopy';

/** The wallet in the bar at the top: which one, which account, and whether it is on our chain. */
export class WalletBar extends Screen {
  static override properties = {
    ...Screen.properties,
    state: { state: true },
    account: { state: true },
    chain: { state: true },
    problem: { state: true },
  };
  declare state: State;
  /** In small letters; empty: none. */
  declare account: string;
  declare chain: number;
  declare problem: string;
  private wallet: Wallet | undefined;
  private readonly wallets = new Wallets(window, () => this.heard());

  constructor() {
    super();
    this.state = 'off';
    this.account = '';
    this.chain = 0;
    this.problem = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.wallets.start();
    this.context.session.addEventListener('connect', this.wanted);
  }

  private readonly wanted = (): void => this.open();

  override updated(): void {
    const chain = this.state === 'on' ? this.chain : 0;
    this.context.session.tell({ wallet: this.wallet, account: this.account, chain });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.wallets.stop();
    this.context.session.removeEventListener('connect', this.wanted);
    this.forget();
  }

  private heard(): void {
    this.requestUpdate();
    const known = localStorage.getItem(KEPT);
    const again = this.wallets.found.find((one) => one.rdns === known);
    if (again && this.state === 'off') void this.connect(again, true);
  }

  private async connect(wallet: Wallet, silently = false): Promise<void> {
    this.problem = '';
    this.state = 'asking';
    try {
      const account = await accountOf(wallet, silently);
      if (!account) {
        this.state = 'off';
        return;
      }
      this.forget();
      this.wallet = wallet;
      wallet.provider.on?.('accountsChanged', this.accountsChanged);
      wallet.provider.on?.('chainChanged', this.chainChanged);
      localStorage.setItem(KEPT, wallet.rdns);
      this.account = account;
      this.close();
      await this.compare(await chainOf(wallet));
    } catch (error) {
      this.refused(error);
      if (!this.account) this.state = 'off';
    }
  }

  private readonly accountsChanged = (accounts: unknown): void => {
    try {
      this.account = readAccount(accounts);
    } catch {
      this.account = '';
    }
    if (!this.account) this.leave();
  };

  private readonly chainChanged = (chain: unknown): void => {
    this.problem = '';
    try {
      void this.compare(readQuantity(chain));
    } catch (error) {
      this.refused(error);
    }
  };

  /** Says whether the wallet is on a chain of ours, and that chain the node's. */
  private async compare(chain: number): Promise<void> {
    this.chain = chain;
    const market = this.context.markets.find((one) => one.record.chainId === chain);
    if (!market || !this.wallet) {
      this.state = 'wrongChain';
      return;
    }
    try {
      const node = (method: string, params: unknown[]) =>
        this.context.server.call(market.key, method, params);
      const same = await sameChain(this.wallet, node, market.record.market);
      if (chain === this.chain) this.state = same ? 'on' : 'otherCopy';
    } catch (error) {
      this.state = 'otherCopy';
      this.refused(error);
    }
  }

  private async change(market: Market): Promise<void> {
    this.problem = '';
    try {
      if (this.wallet) await switchChain(this.wallet, market.record.chainId);
      if (this.wallet) await this.compare(await chainOf(this.wallet));
    } catch (error) {
      this.refused(error);
    }
  }

  private refused(error: unknown): void {
    const kind = error instanceof WalletError ? error.kind : 'other';
    this.problem = words.walletRefused[kind];
  }

  private forget(): void {
    this.wallet?.provider.removeListener?.('accountsChanged', this.accountsChanged);
    this.wallet?.provider.removeListener?.('chainChanged', this.chainChanged);
    this.wallet = undefined;
  }

  private leave(): void {
    this.forget();
    localStorage.removeItem(KEPT);
    this.account = '';
    this.problem = '';
    this.state = 'off';
    this.close();
  }

  private open(): void {
    this.problem = '';
    this.querySelector('dialog')?.showModal();
  }

  private close(): void {
    this.querySelector('dialog')?.close();
  }

  override render(): TemplateResult {
    const name = this.account ? shortAddress(this.account) : words.connectShort;
    return html`<button class="wallet" aria-haspopup="dialog" aria-label=${this.account ? nothing : words.connect} @click=${this.open}>${name}</button>
      ${this.banner()}
      <dialog aria-labelledby="wallet-head">
        <h2 id="wallet-head" tabindex="-1" autofocus>${words.wallet}</h2>
        <div aria-live="polite">
          ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
        </div>
        ${this.account ? this.connected() : this.choice()}
        <p><button @click=${this.close}>${words.close}</button></p>
      </dialog>`;
  }

  private connected(): TemplateResult {
    return html`<p>${words.walletOf(this.wallet?.name ?? '')}</p>
      <p class="mono">${this.account}</p>
      <p class="quiet">${words.walletChange}</p>
      <p><button @click=${this.leave}>${words.walletForget}</button></p>`;
  }

  private choice(): TemplateResult {
    const { found } = this.wallets;
    if (!found.length) return html`<p>${words.noWallet}</p>`;
    return html`<p>${words.walletChoose}</p>
      <ul class="wallets">
        ${found.map(
          (one) => html`<li>
            <button ?disabled=${this.state === 'asking'} @click=${() => this.connect(one)}>
              ${one.icon ? html`<img src=${one.icon} alt="" width="28" height="28" />` : nothing}
              <bdi>${one.name}</bdi> <span class="quiet">${one.rdns}</span>
            </button>
          </li>`,
        )}
      </ul>
      ${this.state === 'asking' ? html`<p aria-live="polite">${words.walletAsking}</p>` : nothing}`;
  }

  private banner(): TemplateResult | typeof nothing {
    if (!this.account || this.state === 'on' || this.state === 'asking') return nothing;
    if (this.state === 'otherCopy')
      return html`<p class="note warn bar" role="status">${words.otherCopy}</p>`;
    const market = this.context.markets[0];
    if (!market) return nothing;
    const wanted = market.record.chainId;
    return html`<div class="note warn bar" role="status">
      <p>${words.wrongChain(this.chain, wanted)} ${this.problem}</p>
      <button @click=${() => this.change(market)}>${words.switchChain(wanted)}</button>
    </div>`;
  }
}

customElements.define('dam-wallet', WalletBar);
