// JSON-RPC to the node that the buyer chose: over HTTP, or through a wallet (EIP-1193).

import {
  type Address,
  type Args,
  type DecodedEvent,
  decodeLog,
  decodeResult,
  decodeRevert,
  encodeCall,
  fromAnyHex,
  Malformed,
  type RawLog,
  type Revert,
  toHex,
  type Value,
} from '../core/index.js';
import { askBytes, type Fetch, Unreachable } from './body.js';

export type Params = readonly unknown[];
export type Call = readonly [method: string, params: Params];

/** The node answered with an error. */
export class RpcError extends Error {
  override name = 'RpcError';

  constructor(
    readonly code: number,
    message: string,
    readonly data?: unknown,
  ) {
    super(message);
  }

  /** What the contract refused, where that is what it was. */
  get revert(): Revert | undefined {
    const data = typeof this.data === 'object' && this.data ? (this.data as Row).data : this.data;
    if (typeof data !== 'string') return undefined;
    try {
      return decodeRevert(fromAnyHex(data));
    } catch {
      return undefined;
    }
  }
}

type Row = Record<string, unknown>;

/** Sends calls; each is answered by its result or its error, in their order. */
export interface Transport {
  send(calls: readonly Call[], signal?: AbortSignal): Promise<readonly (unknown | RpcError)[]>;
}

export interface HttpOptions {
  fetch?: Fetch;
  headers?: Record<string, string>;
  timeoutMs?: number;
  maxBytes?: number;
  /** Calls in one request. */
  batch?: number;
}

/** A node, or `dam web`'s `/rpc`, over HTTP. */
export class HttpTransport implements Transport {
  private id = 0;

  constructor(
    private readonly url: string,
    private readonly options: HttpOptions = {},
  ) {}

  async send(calls: readonly Call[], signal?: AbortSignal): Promise<(unknown | RpcError)[]> {
    const { batch = 100 } = this.options;
    const found: (unknown | RpcError)[] = [];
    for (let at = 0; at < calls.length; at += batch) {
      found.push(...(await this.request(calls.slice(at, at + batch), signal)));
    }
    return found;
  }

  private async request(calls: readonly Call[], signal?: AbortSignal): Promise<unknown[]> {
    const first = this.id + 1;
    this.id += calls.length;
    const asked = calls.map(([method, params], i) => ({
      jsonrpc: '2.0',
      id: first + i,
      method,
      params,
    }));
    const { fetch, headers, timeoutMs = 60_000, maxBytes = 24 << 20 } = this.options;
    const body = JSON.stringify(asked.length === 1 ? asked[0] : asked);
    const bytes = await askBytes(
      this.url,
      { method: 'POST', body, headers: { 'Content-Type': 'application/json' } },
      { ...(fetch && { fetch }), ...(headers && { headers }), timeoutMs, maxBytes, signal },
    );
    let answered: unknown;
    try {
      answered = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw new Unreachable('answered what is no JSON');
    }
    if (asked.length > 1 && !Array.isArray(answered)) return asked.map(() => replyOf(answered));
    const rows = (Array.isArray(answered) ? answered : [answered]) as Row[];
    const byId = new Map(rows.map((row) => [row?.id, row]));
    return asked.map(({ id }) => replyOf(byId.get(id)));
  }
}

function replyOf(row: unknown): unknown | RpcError {
  if (typeof row !== 'object' || row === null)
    return new RpcError(-32603, 'no answer to this call');
  const { error, result } = row as Row;
  if (typeof error === 'object' && error !== null) return rpcError(error as Row);
  if (result === undefined) return new RpcError(-32603, 'no answer to this call');
  return result;
}

function rpcError({ code, message, data }: Row): RpcError {
  const number = typeof code === 'number' ? code : -32603;
  return new RpcError(number, String(message ?? '').slice(0, 500), data);
}

/** What a wallet offers of EIP-1193. */
export interface Provider {
  request(asked: { method: string; params?: Params }): Promise<unknown>;
}

/** The node behind a wallet; it takes no batches. */
export class ProviderTransport implements Transport {
  constructor(private readonly provider: Provider) {}

  send(calls: readonly Call[]): Promise<(unknown | RpcError)[]> {
    return Promise.all(
      calls.map(([method, params]) =>
        this.provider.request({ method, params }).catch((error: unknown) => rpcError(error as Row)),
      ),
    );
  }
}

/** A log of the market in its place. */
export interface PlacedEvent extends DecodedEvent {
  block: number;
  blockHash: string;
  transaction: string;
  index: number;
}

export interface LogQuery {
  from: number;
  to: number;
  topics?: readonly (string | readonly string[] | null)[];
  /** Blocks asked for at once; halved where the node refuses, doubled where it does not. */
  range?: number;
  signal?: AbortSignal;
  /** Hears the last block that is done. */
  onProgress?: (done: number) => void;
}

export class Rpc {
  constructor(
    private readonly transport: Transport,
    readonly market: Address,
  ) {}

  async call(method: string, ...params: Params): Promise<unknown> {
    const [result] = await this.transport.send([[method, params]]);
    if (result instanceof RpcError) throw result;
    return result;
  }

  /** As `call`, several at once; an error stands in the place of its result. */
  batch(calls: readonly Call[], signal?: AbortSignal): Promise<readonly (unknown | RpcError)[]> {
    return this.transport.send(calls, signal);
  }

  async quantity(method: string, ...params: Params): Promise<bigint> {
    return quantityOf(await this.call(method, ...params));
  }

  /** What a view of the market returns, by the names of its outputs. */
  async view(name: string, args: Args = {}, block = 'latest'): Promise<Record<string, Value>> {
    const [found] = await this.views([[name, args]], block);
    return found as Record<string, Value>;
  }

  /** Several views at one block, in one request where the node takes batches. */
  async views(
    calls: readonly (readonly [name: string, args: Args])[],
    block = 'latest',
  ): Promise<Record<string, Value>[]> {
    const asked = calls.map(([name, args]): Call => {
      const data = toHex(encodeCall(name, args));
      return ['eth_call', [{ to: this.market, data }, block]];
    });
    const results = await this.batch(asked);
    return results.map((result, i) => {
      if (result instanceof RpcError) throw result;
      if (typeof result !== 'string') throw new Unreachable('answered what is no data');
      return decodeResult((calls[i] as readonly [string, Args])[0], fromAnyHex(result));
    });
  }

  /** The market's logs of these blocks, in order, each checked word for word. */
  async logs(query: LogQuery): Promise<PlacedEvent[]> {
    const found: PlacedEvent[] = [];
    const most = query.range ?? 10_000;
    let range = most;
    for (let from = query.from; from <= query.to; ) {
      const to = Math.min(from + range - 1, query.to);
      query.signal?.throwIfAborted();
      try {
        found.push(...(await this.page(from, to, query)));
      } catch (error) {
        // Nodes have a dozen ways to say that it was too much, so each refusal counts as one.
        if (!(error instanceof RpcError) || to === from) throw error;
        range = Math.max(1, Math.floor((to - from + 1) / 2));
        continue;
      }
      query.onProgress?.(to);
      from = to + 1;
      range = Math.min(most, 2 * range);
    }
    return found;
  }

  private async page(from: number, to: number, query: LogQuery): Promise<PlacedEvent[]> {
    const filter = {
      address: this.market,
      fromBlock: `0x${from.toString(16)}`,
      toBlock: `0x${to.toString(16)}`,
      topics: query.topics ?? [],
    };
    const [result] = await this.batch([['eth_getLogs', [filter]]], query.signal);
    if (result instanceof RpcError) throw result;
    if (!Array.isArray(result)) throw new Malformed('logs that are no list');
    const placed = result.map((log: Row) => this.placed(log, from, to));
    placed.sort((a, b) => a.block - b.block || a.index - b.index);
    placed.forEach((log, i) => {
      const before = placed[i - 1];
      if (before?.block !== log.block) return;
      if (before.blockHash !== log.blockHash)
        throw new Malformed('logs of two blocks in one place');
      if (before.index === log.index) throw new Malformed('two logs in one place');
    });
    return placed;
  }

  private placed(log: Row, from: number, to: number): PlacedEvent {
    if (log.removed) throw new Malformed('a removed log: its block was replaced');
    const block = Number(quantityOf(log.blockNumber));
    if (block < from || block > to) throw new Malformed('a log of a block that was not asked for');
    return {
      ...decodeLog(log as unknown as RawLog, this.market),
      block,
      blockHash: hash(log.blockHash),
      transaction: hash(log.transactionHash),
      index: Number(quantityOf(log.logIndex)),
    };
  }
}

/** A JSON-RPC quantity. */
export function quantityOf(value: unknown): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-fA-F]{1,64}$/.test(value)) {
    throw new Malformed('no quantity');
  }
  return BigInt(value);
}

function hash(value: unknown): string {
  if (typeof value !== 'string' || !/^0x[0-9a-fA-F]{64}$/.test(value)) {
    throw new Malformed('no hash');
  }
  return value.toLowerCase();
}
