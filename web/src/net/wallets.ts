// Wallets of the browser: found by EIP-6963, asked by EIP-1193. They sign and pay; this page holds
// no key to any account. What a wallet says is checked like all that comes from outside.

export interface Provider {
  request(asked: { method: string; params?: readonly unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): unknown;
  removeListener?(event: string, listener: (value: unknown) => void): unknown;
}

export interface Wallet {
  uuid: string;
  name: string;
  rdns: string;
  /** Address of its picture, a blob's; empty where it has none that is shown. */
  icon: string;
  provider: Provider;
}

/** What kept a wallet from doing what it was asked. */
export type Refusal = 'rejected' | 'pending' | 'unknownChain' | 'disconnected' | 'other';

export class WalletError extends Error {
  constructor(
    readonly kind: Refusal,
    message: string,
  ) {
    super(message);
  }
}

const MOST_WALLETS = 16;
const MOST_NAME = 40;
const MOST_ICON = 128 * 1024;
const KINDS: Record<number, Refusal> = {
  4001: 'rejected',
  4100: 'rejected',
  [-32002]: 'pending',
  4902: 'unknownChain',
  4900: 'disconnected',
  4901: 'disconnected',
};

/** Listens for wallets, and asks those that are there to announce themselves. */
export class Wallets {
  private readonly known = new Map<string, Wallet>();

  constructor(
    private readonly target: EventTarget,
    private readonly changed: () => void,
  ) {}

  get found(): readonly Wallet[] {
    return [...this.known.values()];
  }

  start(): void {
    this.target.addEventListener('eip6963:announceProvider', this.heard);
    this.target.dispatchEvent(new Event('eip6963:requestProvider'));
  }

  stop(): void {
    this.target.removeEventListener('eip6963:announceProvider', this.heard);
  }

  private readonly heard = (event: Event): void => {
    const wallet = readAnnouncement((event as CustomEvent).detail);
    // The first one keeps its place: whoever comes later under its name may be somebody else.
    if (!wallet || this.known.has(wallet.uuid) || this.known.size >= MOST_WALLETS) return;
    this.known.set(wallet.uuid, wallet);
    this.changed();
  };
}

function readAnnouncement(detail: unknown): Wallet | undefined {
  const { info, provider } = (detail ?? {}) as { info?: unknown; provider?: unknown };
  const { uuid, name, rdns, icon } = (info ?? {}) as Record<string, unknown>;
  if (typeof uuid !== 'string' || !/^[0-9a-fA-F-]{36}$/.test(uuid)) return undefined;
  if (typeof rdns !== 'string' || !/^[\w.-]{1,100}$/.test(rdns)) return undefined;
  if (typeof name !== 'string' || typeof (provider as Provider)?.request !== 'function')
    return undefined;
  const shown = name
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')
    .trim()
    .slice(0, MOST_NAME);
  return { uuid, rdns, name: shown || rdns, icon: readIcon(icon), provider: provider as Provider };
}

/** The page's policy lets no `data:` in, so a picture becomes a blob of one of four types. */
function readIcon(icon: unknown): string {
  if (typeof icon !== 'string' || icon.length > MOST_ICON) return '';
  const found = /^data:(image\/(?:png|jpeg|webp|svg\+xml))(;base64)?,(.*)$/s.exec(icon);
  if (!found?.[1]) return '';
  try {
    const text = found[2] ? atob(found[3] ?? '') : decodeURIComponent(found[3] ?? '');
    const bytes = found[2] ? Uint8Array.from(text, (c) => c.charCodeAt(0)) : text;
    return URL.createObjectURL(new Blob([bytes], { type: found[1] }));
  } catch {
    return '';
  }
}

async function ask(provider: Provider, method: string, params: readonly unknown[] = []) {
  try {
    return await provider.request({ method, params });
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
    const kind = KINDS[typeof code === 'number' ? code : 0] ?? 'other';
    throw new WalletError(kind, String(message ?? error).slice(0, 200));
  }
}

/** The account that the wallet lets this page see; asks the person unless it is done `silently`. */
export async function accountOf(wallet: Wallet, silently = false): Promise<string> {
  const method = silently ? 'eth_accounts' : 'eth_requestAccounts';
  return readAccount(await ask(wallet.provider, method));
}

/** The first of some accounts; empty where there is none. */
export function readAccount(accounts: unknown): string {
  const first: unknown = Array.isArray(accounts) ? accounts[0] : undefined;
  if (first === undefined) return '';
  if (typeof first !== 'string' || !/^0x[0-9a-fA-F]{40}$/.test(first))
    throw new WalletError('other', 'the wallet named no account');
  return first.toLowerCase();
}

export async function chainOf(wallet: Wallet): Promise<number> {
  return readQuantity(await ask(wallet.provider, 'eth_chainId'));
}

export function readQuantity(value: unknown): number {
  const number =
    typeof value === 'string' && /^0x[0-9a-f]{1,13}$/i.test(value) ? Number(value) : -1;
  if (number < 0) throw new WalletError('other', 'the wallet gave no number');
  return number;
}

/** Asks the wallet to go to another chain. This page adds none: it names nobody's node. */
export async function switchChain(wallet: Wallet, chain: number): Promise<void> {
  await ask(wallet.provider, 'wallet_switchEthereumChain', [
    { chainId: `0x${chain.toString(16)}` },
  ]);
}

/** A call of the market, as the wallet and the node take it. */
export interface Transaction {
  from: string;
  to: string;
  data: string;
  value: string;
  /** So that a wallet that was switched meanwhile does not pay on another chain. */
  chainId: string;
}

/** Asks the wallet to sign and send; the transaction's hash, which may be replaced by another. */
export async function sendTransaction(wallet: Wallet, asked: Transaction): Promise<string> {
  const hash = await ask(wallet.provider, 'eth_sendTransaction', [asked]);
  if (typeof hash !== 'string' || !/^0x[0-9a-fA-F]{64}$/.test(hash))
    throw new WalletError('other', 'the wallet gave no hash');
  return hash.toLowerCase();
}

const DEPTH = 5;

/**
 * Whether wallet and node are on the same chain: the same id, the same block five below the head,
 * and the same code at the market. One id names several chains where some of them are copies.
 */
export async function sameChain(
  wallet: Wallet,
  node: (method: string, params: unknown[]) => Promise<unknown>,
  market: string,
): Promise<boolean> {
  const theirs = (method: string, params: unknown[]) => ask(wallet.provider, method, params);
  if (readQuantity(await node('eth_chainId', [])) !== (await chainOf(wallet))) return false;
  const heads = await Promise.all([node('eth_blockNumber', []), theirs('eth_blockNumber', [])]);
  const number = Math.max(0, Math.min(...heads.map(readQuantity)) - DEPTH);
  const block = [`0x${number.toString(16)}`, false];
  const found = await Promise.all([
    node('eth_getBlockByNumber', block),
    theirs('eth_getBlockByNumber', block),
    node('eth_getCode', [market, 'latest']),
    theirs('eth_getCode', [market, 'latest']),
  ]);
  const [ours, other] = found.slice(0, 2).map((one) => (one as { hash?: unknown } | null)?.hash);
  return typeof ours === 'string' && ours === other && found[2] === found[3];
}
