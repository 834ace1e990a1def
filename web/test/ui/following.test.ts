// A purchase is followed by what the chain says of its copy, whatever the page knew of it before.

import { IDBFactory } from 'fake-indexeddb';
import { describe, expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import { Db } from '../../src/keep/db.js';
import { type Move, Purchases, type State } from '../../src/keep/purchases.js';
import { type Call, Rpc, RpcError, type Transport } from '../../src/net/rpc.js';
import type { Chain } from '../../src/ui/chain.js';
import { Follower, recoverKey } from '../../src/ui/following.js';
import { openGood } from '../../src/ui/goods.js';
import { stoppedBy } from '../../src/ui/refusals.js';
import { words } from '../../src/ui/words.js';
import { bytes, record } from '../fixtures.js';
import { chainRows, type Row, raw } from '../vectors.js';

const [row] = chainRows('wholePurchase') as [Row];
const SEED = raw(row.buyerSeed);
const read = (logs: Row[]) =>
  logs.map((log) => dam.decodeLog(log as unknown as dam.RawLog, row.market));
const given = dam.purchaseOf(read(row.logs)[0] as dam.DecodedEvent) as dam.Purchase;
const leaves = new Map(
  read(row.logs)
    .map(dam.fragmentOf)
    .filter((one) => one !== undefined)
    .map((one) => [one.index, dam.partLeaf({ ...one, copy: given.copy })] as const),
);
const tree = new dam.MerkleTree([...leaves.values()]);
// The vector's purchase has a root of nothing: here it is that of its parts.
const digits = (of: Uint8Array) => dam.toHex(of).slice(2);
const LOGS: Row[] = row.logs.map((log: Row) => ({
  ...log,
  data: log.data.replace(digits(given.terms.partsRoot), digits(tree.root)),
}));
const bought = dam.purchaseOf(read(LOGS)[0] as dam.DecodedEvent) as dam.Purchase;
const WINDOWS = { refundSeconds: 3600, disputeSeconds: 3600, arbitrationSeconds: 3600 };
const HASH = `0x${'0b'.repeat(32)}`;

/** A node that holds this purchase's logs, and can be bent. */
class Node implements Transport {
  head = 100;
  time = bought.purchaseTime + 60n;
  status = dam.Status.Purchased;
  delivered = 0;
  logs: Row[] = LOGS;
  receipt: Row | null = null;

  async send(calls: readonly Call[]) {
    return calls.map(([method, params]) => this.answer(method, params as Row[]));
  }

  private answer(method: string, [first]: Row[]): unknown {
    if (method === 'eth_blockNumber') return `0x${this.head.toString(16)}`;
    if (method === 'eth_getTransactionReceipt') return this.receipt;
    if (method === 'eth_getLogs')
      return this.logs
        .filter(({ topics }) => first?.topics[0].includes(topics[0]))
        .map(({ address, topics, data }, i) => ({
          address,
          topics,
          data,
          blockNumber: '0x32',
          blockHash: HASH,
          transactionHash: `0x${'0c'.repeat(32)}`,
          logIndex: `0x${i.toString(16)}`,
        }));
    const name = ['sales', 'marks', 'clock'].find((one) =>
      first?.data.startsWith(dam.toHex(dam.functions.get(one)?.digest.slice(0, 4) as Uint8Array)),
    ) as 'sales' | 'marks' | 'clock';
    const commitment = dam.saleHash(dam.saleOf(bought)).slice(0, 24);
    const sold = { status: this.status, delivered: this.delivered, since: 0 };
    const values: Record<string, dam.Args> = {
      sales: { ...sold, rated: false, marked: false, commitment },
      marks: { punished: 0, cleared: 0, freshKey: new Uint8Array(24) },
      clock: { blockNumber: 100n, timestamp: this.time },
    };
    const { outputs } = dam.functions.get(name) as dam.Signature;
    return dam.toHex(dam.encodeFields(outputs, values[name] as dam.Args));
  }
}

async function begin(state: State, keys = bought.keys) {
  const purchases = new Purchases(await Db.open('dam', new IDBFactory()));
  const { id } = await purchases.add({
    record: record({
      chainId: Number(row.chainId),
      market: row.market,
      copyId: bought.copyId,
      attempt: Number(row.attempt),
      seller: bought.seller,
      buyer: bought.buyer,
      storeDigest: bought.storeDigest,
      root: dam.ZERO32,
      keys,
      payload: dam.payloadFromJson(row.payload),
      partProofs: bought.keys.map((_, i) => proofOf(i)),
    }),
    account: bought.buyer,
    sinceBlock: 40,
  });
  const path: State[] = ['asked', 'sent', 'bought', 'parts'];
  const move: Move = { tx: raw(HASH), block: 50, blockHash: HASH };
  if (state === 'lost' || state === 'failed') await purchases.move(id, state);
  else
    for (const one of path.slice(0, path.indexOf(state) + 1)) await purchases.move(id, one, move);
  const node = new Node();
  const market = { record: { chainId: Number(row.chainId), market: row.market, windows: WINDOWS } };
  const chain = { rpc: new Rpc(node, row.market), market } as unknown as Chain;
  return { node, chain, purchases, id, follower: new Follower(chain, purchases, id) };
}

function proofOf(index: number): Uint8Array[] {
  const leaf = leaves.get(index);
  return leaf ? tree.proof(leaf) : [];
}

describe('a purchase that the chain has', () => {
  it.each(['saved', 'asked', 'sent', 'bought', 'parts', 'lost', 'failed'] as State[])(
    'goes on from %s to the good',
    async (state) => {
      const { node, chain, follower } = await begin(state);
      node.delivered = 0b111;
      const { kept, sale } = await follower.look(SEED);
      expect(kept).toMatchObject({ state: 'parts', blockHash: HASH });
      expect(kept.record).toMatchObject({ block: 50, failed: false });
      expect(sale && dam.toHex(sale.key as Uint8Array)).toBe(row.contentKey);
      if (sale) expect(dam.toHex(await openGood(chain, kept, sale))).toBe(row.good);
    },
  );

  it('shows each part as it is', async () => {
    const { node, follower } = await begin('sent');
    node.logs = LOGS.slice(0, 3); // the second is junk until it is replaced
    node.delivered = 0b11;
    const states = async (seed?: Uint8Array) =>
      (await follower.look(seed)).sale?.parts.map(({ state }) => state);
    expect(await states()).toEqual(['locked', 'locked', 'waiting']);
    expect((await states(SEED))?.slice().sort()).toEqual(['good', 'junk', 'waiting']);
    node.delivered = 0b111;
    expect((await states(SEED))?.slice().sort()).toEqual(['good', 'junk', 'leftOut']);
  });

  it('is read again once a part came, and knows its new block after the old one was replaced', async () => {
    const { node, follower, purchases, id } = await begin('sent');
    node.logs = LOGS.slice(0, 1);
    expect((await follower.look(SEED)).sale?.good).toBe(0);
    node.logs = LOGS;
    node.delivered = 0b111;
    expect((await follower.look(SEED)).sale?.good).toBe(leaves.size);
    await purchases.move(id, 'parts', { blockHash: `0x${'0a'.repeat(32)}`, block: 49 });
    const { kept } = await follower.look(SEED);
    expect([kept.state, kept.blockHash, kept.record.block]).toEqual(['parts', HASH, 50]);
  });

  it('believes no part that the purchase did not commit to', async () => {
    const { node, follower, purchases, id } = await begin('sent');
    const kept = await purchases.get(id);
    for (const proof of kept?.record.partProofs ?? []) proof[0]?.fill(7);
    purchases.get = async () => kept;
    node.delivered = 0b111;
    const { sale } = await follower.look(SEED);
    expect(sale?.parts.map(({ state }) => state)).toEqual(['leftOut', 'leftOut', 'leftOut']);
  });

  it('is told from logs that a node left out or made up', async () => {
    const { node, follower } = await begin('sent');
    node.logs = [];
    await expect(follower.look(SEED)).rejects.toThrow(words.logsLeftOut(61));
    const forged = await begin('sent');
    const other = { ...bought, purchaseTime: bought.purchaseTime + 1n };
    const [log] = LOGS as [Row];
    const time = (value: bigint) => digits(dam.uint(value, 32));
    const data = log.data.replace(time(bought.purchaseTime), time(other.purchaseTime));
    forged.node.logs = [{ ...log, data }];
    await expect(forged.follower.look(SEED)).rejects.toThrow(words.logsForged);
  });

  it('has an end, and a time until which parts come', async () => {
    const { node, follower } = await begin('sent');
    const until = bought.purchaseTime + BigInt(WINDOWS.refundSeconds);
    expect((await follower.look(SEED)).sale?.partsUntil).toBe(until);
    node.time = until + 1n;
    expect((await follower.look(SEED)).sale?.partsUntil).toBe(0n);
    node.status = dam.Status.Settled;
    expect((await follower.look(SEED)).kept.state).toBe('done');
  });
});

describe('a purchase that the chain has not', () => {
  it.each([
    ['saved', 'saved'],
    ['asked', 'asked'],
    ['sent', 'sent'],
    ['bought', 'sent'],
    ['parts', 'sent'],
    ['failed', 'failed'],
  ] as [State, State][])('is %s before and %s after', async (before, after) => {
    const { node, follower } = await begin(before);
    node.status = dam.Status.None;
    const { kept, sale } = await follower.look(SEED);
    expect([kept.state, sale]).toEqual([after, undefined]);
  });

  it('has failed once its refused transaction lies deep', async () => {
    const { node, follower } = await begin('sent');
    node.status = dam.Status.None;
    node.receipt = { status: '0x1', blockNumber: '0x1' };
    expect((await follower.look(SEED)).kept.state).toBe('sent');
    node.receipt = { status: '0x0', blockNumber: `0x${(node.head - 4).toString(16)}` };
    expect((await follower.look(SEED)).kept.state).toBe('sent');
    node.head += 1;
    expect((await follower.look(SEED)).kept).toMatchObject({ state: 'failed' });
  });

  it.each(['saved', 'asked', 'sent', 'bought'] as State[])(
    'is lost from %s where another bought the copy',
    async (state) => {
      const keys = bought.keys.map((key) => dam.keccak(key));
      const { follower } = await begin(state, keys);
      const { kept, sale } = await follower.look(SEED);
      expect([kept.state, sale]).toEqual(['lost', undefined]);
    },
  );
});

describe('a key', () => {
  it('is that of the shares that agree with what they promise', () => {
    const secret = bytes('secret');
    const shares = dam.split(secret, 2, 3, [bytes('coefficient')]);
    const secretHash = dam.keccak(secret);
    const given = new Map(shares.map((share, i) => [i, { share, secretHash }] as const));
    expect(recoverKey(given, 2)).toEqual(secret);
    given.set(0, { share: bytes('bad'), secretHash });
    expect(recoverKey(given, 2)).toEqual(secret);
    given.delete(1);
    expect(recoverKey(given, 2)).toBeUndefined();
    given.delete(2);
    expect(recoverKey(given, 2)).toBeUndefined();
  });
});

describe('what the market would refuse', () => {
  const refusal = (name: string, args: dam.Args) => {
    const [selector, { inputs }] = [...dam.errors].find(([, one]) => one.name === name) as [
      string,
      dam.Signature,
    ];
    const data = dam.concat(raw(selector), dam.encodeFields(inputs, args));
    return stoppedBy(new RpcError(3, 'execution reverted', dam.toHex(data)));
  };
  it('is told in a sentence', () => {
    const { seller, copy, terms } = bought;
    const changed = refusal('StoreChanged', { seller, read: HASH32, current: HASH32 });
    expect([changed.message, changed.ends]).toEqual([words.buyChanged, 'failed']);
    const taken = refusal('CopyTaken', { itemId: terms.itemId, copy });
    expect([taken.message, taken.ends]).toEqual([words.copyTaken, 'lost']);
    const low = refusal('SellerStakeTooLow', { seller, free: 1n, needed: 2n });
    expect([low.message, low.ends]).toEqual([words.stakeTooLow, undefined]);
    expect(stoppedBy(new RpcError(3, 'odd')).message).toBe(words.refused('odd'));
    expect(stoppedBy(new Error('gone')).message).toBe(words.payAway('gone'));
  });
});

const HASH32 = new Uint8Array(32).fill(1);
