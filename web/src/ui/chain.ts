// A market as the page asks about it: its node and its blocks, both through the program that
// serves the page, and both checked here.
import {
  type Address,
  Cid,
  catalogueCommitment,
  copyId,
  equal,
  fromHex,
  type Item,
  isWithdrawn,
  isZero,
  Malformed,
  readStore,
  type Store,
  ZERO32,
} from '../core/index.js';
import { Blocks } from '../net/blocks.js';
import { HttpTransport, Rpc } from '../net/rpc.js';
import type { Hints, Market, Server } from './server.js';

/** What a seller's address leads to. */
export type Reading =
  | {
      kind: 'checked';
      store: Store;
      digest: Uint8Array;
      /** Blocks of the document that were read. */
      blocks: number;
      /** Block of the chain at which root and stake stood. */
      at: bigint;
      /** Seconds UTC there. */
      time: bigint;
      freeStake: bigint;
    }
  | { kind: 'none' | 'closed' | 'changed' }
  | { kind: 'missing' | 'broken'; why: string };

/** How many copies are free: exact up to `SAMPLE` copies, a look at some of them above. */
export interface Supply {
  free: number;
  /** Which they are. */
  copies: readonly bigint[];
  looked: number;
  exact: boolean;
}

export const SAMPLE = 64;

export class Chain {
  readonly rpc: Rpc;
  readonly blocks: Blocks;

  constructor(
    readonly server: Server,
    readonly market: Market,
  ) {
    const { headers } = server;
    const url = `./rpc?market=${encodeURIComponent(market.key)}`;
    this.rpc = new Rpc(new HttpTransport(url, { headers }), market.record.market as Address);
    this.blocks = new Blocks([{ name: 'dam web', url: (cid) => `./block/${cid}`, headers }]);
  }

  /**
   * Reads a store as the chain vouches for it: no root is believed that is not committed to.
   * `hints` are the index's of this seller, asked for meanwhile.
   */
  async read(seller: Address, hints: Promise<Hints>): Promise<Reading> {
    const at = await this.rpc.quantity('eth_blockNumber');
    const [store, stake, clock] = await this.rpc.views(
      [
        ['stores', { seller }],
        ['sellerStakes', { seller }],
        ['clock', {}],
      ],
      `0x${at.toString(16)}`,
    );
    const digest = store?.digest as Uint8Array;
    const catalogue = store?.catalogue as Uint8Array;
    if (isZero(digest) && isZero(catalogue)) return { kind: 'none' };
    if (equal(catalogue, catalogueCommitment(digest, ZERO32))) return { kind: 'closed' };
    const hint = (await hints).version;
    const root = hint && fromHex(hint.root);
    // The index lags, or is wrong: either way its root is not the chain's.
    if (!root || !equal(catalogue, catalogueCommitment(digest, root))) return { kind: 'changed' };
    const { chainId, market } = this.market.record;
    const place = { chainId, market: market as Address, seller, digest, root };
    let blocks = 0;
    const get = (cid: Cid) => {
      blocks += 1;
      return this.blocks.get(cid);
    };
    try {
      const found = await readStore(get, place);
      const time = clock?.timestamp as bigint;
      return {
        kind: 'checked',
        store: found,
        digest,
        blocks,
        at,
        time,
        freeStake: stake?.['0'] as bigint,
      };
    } catch (error) {
      const why = (error as Error).message;
      return { kind: error instanceof Malformed ? 'broken' : 'missing', why };
    }
  }

  /** Asks the chain of each copy, or of some where there are many. */
  async supply(seller: Address, item: Item): Promise<Supply> {
    const { supply, itemId } = item.terms;
    const exact = supply <= BigInt(SAMPLE);
    const copies = exact
      ? Array.from({ length: Number(supply) }, (_, copy) => BigInt(copy))
      : [...new Set(Array.from({ length: SAMPLE }, () => randomBelow(supply)))];
    const offered = copies.filter((copy) => !isWithdrawn(item, copy));
    const sales = await this.rpc.views(
      offered.map((copy) => ['sales', { copyId: copyId(seller, itemId, copy) }] as const),
    );
    const free = offered.filter((_, i) => sales[i]?.status === 0);
    return { free: free.length, copies: free, looked: offered.length, exact };
  }

  /** A free copy at random: two buyers at once should not want the same one. */
  async freeCopy(seller: Address, item: Item): Promise<bigint | undefined> {
    const { copies } = await this.supply(seller, item);
    return copies.length ? copies[Number(randomBelow(BigInt(copies.length)))] : undefined;
  }
}

function randomBelow(limit: bigint): bigint {
  const words = crypto.getRandomValues(new BigUint64Array(2));
  return (((words[0] as bigint) << 64n) | (words[1] as bigint)) % limit;
}

/** The CID of a store's document. */
export function documentCid(digest: Uint8Array): string {
  return new Cid('dag-json', digest).toString();
}
