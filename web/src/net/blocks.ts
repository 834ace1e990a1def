// Blocks from gateways, or from `dam web`: each is hashed, none is trusted.

import { type Cid, MAX_BLOCK_BYTES } from '../core/index.js';
import { askBytes, type Fetch, Unreachable } from './body.js';

/** Somebody who may have blocks. */
export interface Source {
  /** What people are told where it fails. */
  name: string;
  url: (cid: Cid) => string;
  headers?: Record<string, string>;
}

/** A trustless gateway (https://specs.ipfs.tech/http-gateways/trustless-gateway/). */
export function gateway(base: string): Source {
  const root = base.replace(/\/+$/, '');
  return {
    name: root,
    url: (cid) => `${root}/ipfs/${cid}?format=raw`,
    headers: { Accept: 'application/vnd.ipld.raw' },
  };
}

export interface BlocksOptions {
  fetch?: Fetch;
  /** After which the next source is asked, too: asking all at once tells all of them. */
  patienceMs?: number;
  timeoutMs?: number;
}

/** No source has the block now; the message says who said what. */
export class BlockMissing extends Error {
  override name = 'BlockMissing';

  constructor(
    readonly cid: Cid,
    readonly reasons: readonly string[],
  ) {
    const sources = `${reasons.length} of ${reasons.length} sources`;
    super(`${sources} did not have block ${cid}: ${reasons.join('; ')}`);
  }
}

export class Blocks {
  constructor(
    private readonly sources: readonly Source[],
    private readonly options: BlocksOptions = {},
  ) {}

  /** The block of this CID, verified; from the first source that has it. */
  async get(cid: Cid, signal?: AbortSignal): Promise<Uint8Array> {
    const others = new AbortController();
    const stop = () => others.abort(signal?.reason);
    signal?.addEventListener('abort', stop);
    try {
      return await this.first(cid, others.signal);
    } finally {
      signal?.removeEventListener('abort', stop);
      others.abort();
    }
  }

  private first(cid: Cid, signal: AbortSignal): Promise<Uint8Array> {
    const { patienceMs = 2000 } = this.options;
    const reasons: string[] = [];
    return new Promise((resolve, reject) => {
      let next = 0;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const askNext = () => {
        clearTimeout(timer);
        const source = this.sources[next++];
        if (!source) return;
        timer = setTimeout(askNext, patienceMs);
        this.ask(source, cid, signal).then(
          (block) => {
            clearTimeout(timer);
            resolve(block);
          },
          (error: Error) => {
            if (signal.aborted) {
              clearTimeout(timer);
              reject(signal.reason);
              return;
            }
            reasons.push(`${source.name} ${error.message}`);
            if (reasons.length === this.sources.length) {
              clearTimeout(timer);
              reject(new BlockMissing(cid, reasons));
            } else askNext();
          },
        );
      };
      if (this.sources.length) askNext();
      else reject(new BlockMissing(cid, []));
    });
  }

  private async ask(source: Source, cid: Cid, signal: AbortSignal): Promise<Uint8Array> {
    const { timeoutMs = 30_000, fetch } = this.options;
    const block = await askBytes(
      source.url(cid),
      { method: 'GET' },
      {
        ...(fetch && { fetch }),
        ...(source.headers && { headers: source.headers }),
        timeoutMs,
        maxBytes: MAX_BLOCK_BYTES,
        signal,
      },
    );
    if (!cid.names(block)) throw new Unreachable('sent bytes that are not this block');
    return block;
  }
}
