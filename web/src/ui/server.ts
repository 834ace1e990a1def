// The program that serves this page: its token, and what it answers.
export interface Deployment {
  chainId: number;
  market: string;
  codeHash: string;
  governor: string;
  profile: string;
  windows: { refundSeconds: number; disputeSeconds: number; arbitrationSeconds: number };
}
export interface Version {
  digest: string;
  root: string;
}
export interface Market {
  key: string;
  name: string;
  record: Deployment;
}
export interface StoreHint {
  seller: string;
  name: string;
  document: string;
  freeStake: string;
  boundStake: string;
  ratings: number;
  tenths: number | null;
  ended: number;
  refunds: number;
}
export interface ItemHint {
  seller: string;
  name: string;
  itemId: string;
  title: string;
  token: string;
  price: string;
  commission: string;
  arbitrator: string | null;
  supply: number;
  free: number;
  backed: boolean;
  since: number;
}
export interface Token {
  address: string;
  symbol: string | null;
  decimals: number | null;
}
export interface Hints {
  block: number | null;
  syncing: boolean;
  trouble: string;
  candidates: number;
  /** The newest of the seller who was asked for. */
  version: Version | null;
  waiting: number;
  unreadable: { seller: string; reason: string; final: boolean }[];
  stores: StoreHint[];
  items: ItemHint[];
  tokens: Token[];
}

/** Why the server did not answer; `kind` says which sentence to show. */
export class ServerError extends Error {
  constructor(
    readonly kind: 'away' | 'token' | 'refused',
    message: string,
  ) {
    super(message);
  }
}

const KEPT = 'dam-token';
const TIMEOUT_MS = 70_000;

/** Takes the token out of the address, so that it stands in no history, and keeps it for this tab. */
export function takeToken(place: Location, session: Storage, past: History): string {
  const found = /^#t=([A-Za-z0-9_-]{1,100})$/.exec(place.hash);
  if (found?.[1]) {
    session.setItem(KEPT, found[1]);
    past.replaceState(null, '', '#/');
  }
  return session.getItem(KEPT) ?? '';
}

export class Server {
  constructor(private readonly token: string) {}

  /** Of every request that is not for a file of the page. */
  get headers(): Record<string, string> {
    return { 'X-Dam-Token': this.token };
  }

  /** A request of this page's own kind; anything but 200 is an error. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(path, {
        ...init,
        headers: { ...init.headers, ...this.headers },
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new ServerError('away', String(error));
    }
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    const why = typeof told.error === 'string' ? told.error : `HTTP ${answer.status}`;
    throw new ServerError(answer.status === 401 ? 'token' : 'refused', why);
  }

  async markets(): Promise<Market[]> {
    return (await (await this.ask('./market.json')).json()).markets;
  }

  async hints(market: string, asked: Record<string, string>): Promise<Hints> {
    const query = new URLSearchParams({ market, ...asked });
    return (await this.ask(`./index?${query}`)).json();
  }

  /** One call of a reading method. */
  async call(market: string, method: string, params: unknown[] = []): Promise<unknown> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const headers = { 'Content-Type': 'application/json' };
    const path = `./rpc?market=${encodeURIComponent(market)}`;
    const reply = await (await this.ask(path, { method: 'POST', headers, body })).json();
    if (reply.error) throw new ServerError('refused', String(reply.error.message));
    return reply.result;
  }
}
