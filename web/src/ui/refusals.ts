// Why something was not done: sentences for people, from what node, contract and wallet said.
import { RpcError } from '../net/rpc.js';
import { WalletError } from '../net/wallets.js';
import { words } from './words.js';

/** Nothing goes on; the message is a whole sentence of `words`. */
export class Stopped extends Error {
  override name = 'Stopped';

  constructor(
    message: string,
    /** What has become of the try, where it can never be paid any more. */
    readonly ends?: 'failed' | 'lost',
  ) {
    super(message);
  }
}

const STORE = ['StoreChanged', 'StoreClosed', 'NoStore', 'TermsNotInCatalogue'];

/** What a transaction would come to, from the error of its trial run. */
export function stoppedBy(error: unknown): Stopped {
  if (error instanceof Stopped) return error;
  if (!(error instanceof RpcError)) return new Stopped(words.payAway((error as Error).message));
  const name = error.revert?.name ?? '';
  if (STORE.includes(name)) return new Stopped(words.buyChanged, 'failed');
  if (name === 'CopyTaken') return new Stopped(words.copyTaken, 'lost');
  if (name === 'SellerStakeTooLow') return new Stopped(words.stakeTooLow);
  return new Stopped(words.refused(name && name !== 'unknown' ? name : error.message));
}

/** What the wallet said, as a sentence. */
export function sentenceOf(error: unknown): string {
  if (error instanceof WalletError) return words.payRefused[error.kind];
  return stoppedBy(error).message;
}
