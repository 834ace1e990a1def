// A purchase from its transaction to the open good, by its copyId and never by a hash alone: what
// the chain says of the copy counts, whoever sent which transaction.
import {
  type Action,
  actionsOf,
  BuyerSeed,
  type Clock,
  deadlinesOf,
  equal,
  escrowOf,
  type Fragment,
  fragmentOf,
  fromHex,
  hasBit,
  isFinal,
  join,
  keccak,
  Malformed,
  type Marks,
  openShare,
  type Purchase,
  type PurchaseSecret,
  partLeaf,
  purchaseOf,
  type SaleState,
  saleHash,
  saleOf,
  toHex,
  topics,
  verifyProof,
  type Windows,
} from '../core/index.js';
import { becameOf, type KeptPurchase, type Purchases, resume } from '../keep/purchases.js';
import type { PlacedEvent } from '../net/rpc.js';
import type { Chain } from './chain.js';
import { Stopped } from './refusals.js';
import { words } from './words.js';

/** A failed transaction counts as such once it lies so many blocks deep. */
const DEEP = 5;
/** Looks after which the logs are read again although the sale's word is the same. */
const LOOKS = 10;
const MOST_JOINS = 64;

/** `locked`: it is there, and the keys are not open yet to look into it. */
export type PartState = 'waiting' | 'locked' | 'good' | 'junk' | 'leftOut';

export interface PartSeen {
  state: PartState;
  by: string;
}

export interface SaleSeen {
  purchase: Purchase;
  state: SaleState;
  parts: PartSeen[];
  good: number;
  /** The content key, once enough good parts are there. */
  key: Uint8Array | undefined;
  actions: Action[];
  /** Seconds UTC: until then parts may come; 0: they may not any more. */
  partsUntil: bigint;
}

export interface Look {
  kept: KeptPurchase;
  clock: Clock;
  sale: SaleSeen | undefined;
}

interface Seen {
  word: string;
  events: PlacedEvent[];
  looks: number;
}

export class Follower {
  private seen: Seen | undefined;
  private readonly judged = new Map<string, Uint8Array | null>();

  constructor(
    private readonly chain: Pick<Chain, 'rpc' | 'market'>,
    private readonly purchases: Purchases,
    private readonly id: string,
  ) {}

  /** What the chain says now; the purchase moves on by it. `seed` opens the parts. */
  async look(seed: Uint8Array | undefined): Promise<Look> {
    const { rpc } = this.chain;
    const kept = await this.purchases.get(this.id);
    if (!kept) throw new Stopped(words.noPurchase);
    const { copyId } = kept.record;
    const head = Number(await rpc.quantity('eth_blockNumber'));
    const [sales, marks, time] = await rpc.views(
      [
        ['sales', { copyId }],
        ['marks', { copyId }],
        ['clock', {}],
      ],
      `0x${head.toString(16)}`,
    );
    const state = sales as unknown as SaleState;
    const clock = { block: time?.blockNumber as bigint, time: time?.timestamp as bigint };
    if (!state.status) return { kept: await this.unsold(kept, head), clock, sale: undefined };
    const events = await this.events(kept, state, head);
    const place = events.find((event) => event.name === 'ItemPurchased');
    const purchase = place && purchaseOf(place);
    if (!place || !purchase) throw new Stopped(words.logsLeftOut(head - kept.sinceBlock + 1));
    if (!equal(saleHash(saleOf(purchase)).slice(0, 24), state.commitment))
      throw new Stopped(words.logsForged);
    if (!becameOf(kept.record, purchase))
      return { kept: await this.others(kept), clock, sale: undefined };
    const sale = this.sale(kept, purchase, state, marks as unknown as Marks, events, seed);
    if (clock.time > sale.partsUntil) sale.partsUntil = 0n;
    return { kept: await this.ours(kept, place, sale), clock, sale };
  }

  /** Nobody has the copy: wait, ask again, or, once a refused transaction lies deep, no more. */
  private async unsold(kept: KeptPurchase, head: number): Promise<KeptPurchase> {
    this.seen = undefined;
    const todo = resume(kept, 'no');
    if (todo === 'reorganised' && (kept.state === 'bought' || kept.state === 'parts'))
      return this.purchases.move(kept.id, 'sent');
    const { tx } = kept.record;
    if (todo !== 'wait' || !tx) return kept;
    const receipt = (await this.chain.rpc.call('eth_getTransactionReceipt', toHex(tx))) as {
      status?: unknown;
      blockNumber?: unknown;
    } | null;
    const failed = receipt?.status === '0x0' && Number(receipt.blockNumber) + DEEP <= head;
    return failed ? this.purchases.move(kept.id, 'failed') : kept;
  }

  private async others(kept: KeptPurchase): Promise<KeptPurchase> {
    if (resume(kept, 'other') === 'nothing' || kept.state === 'open' || kept.state === 'done')
      return kept;
    if (kept.state === 'bought' || kept.state === 'parts')
      await this.purchases.move(kept.id, 'sent');
    return this.purchases.move(kept.id, 'lost');
  }

  private async ours(
    kept: KeptPurchase,
    { block, blockHash, transaction }: PlacedEvent,
    sale: SaleSeen,
  ): Promise<KeptPurchase> {
    let now = kept;
    const early = ['saved', 'asked', 'sent', 'lost', 'failed'].includes(now.state);
    if (early || now.blockHash !== blockHash) {
      const to = early ? 'bought' : now.state;
      now = await this.purchases.move(now.id, to, {
        tx: fromHex(transaction),
        block,
        blockHash,
      });
    }
    if (now.state === 'bought' && sale.state.delivered)
      now = await this.purchases.move(now.id, 'parts');
    if (isFinal(sale.state.status) && now.state !== 'done')
      now = await this.purchases.move(now.id, 'done');
    return now;
  }

  /** The copy's logs, read anew where the sale's word changed, and now and then besides. */
  private async events(kept: KeptPurchase, state: SaleState, head: number): Promise<PlacedEvent[]> {
    const { status, delivered, since, marked } = state;
    const word = [status, delivered, since, marked].join();
    if (this.seen?.word === word && this.seen.looks++ < LOOKS) return this.seen.events;
    const names = ['ItemPurchased', 'FragmentDelivered', 'FragmentSupplied'];
    const first = names.map((name) => topics.get(name) as string);
    const events = await this.chain.rpc.logs({
      from: kept.sinceBlock,
      to: head,
      topics: [first, toHex(kept.record.copyId)],
    });
    this.seen = { word, events, looks: 0 };
    return events;
  }

  private sale(
    kept: KeptPurchase,
    purchase: Purchase,
    state: SaleState,
    marks: Marks,
    events: readonly PlacedEvent[],
    seed: Uint8Array | undefined,
  ): SaleSeen {
    const found = saleOf(purchase);
    const { refundSeconds, disputeSeconds, arbitrationSeconds } = this.chain.market.record.windows;
    const windows: Windows = {
      refundSeconds: BigInt(refundSeconds),
      disputeSeconds: BigInt(disputeSeconds),
      arbitrationSeconds: BigInt(arbitrationSeconds),
    };
    const fragments = events
      .map(fragmentOf)
      .filter((one) => one !== undefined)
      .filter((one) => this.isCommitted(kept, purchase, one));
    const secret = seed && secretOf(kept, seed);
    const shares = new Map<number, { share: Uint8Array; secretHash: Uint8Array }>();
    const parts = Array.from({ length: found.parts }, (_, index): PartSeen => {
      const here = fragments.filter((one) => one.index === index);
      const by = here[0]?.by ?? '';
      if (!here.length)
        return { state: hasBit(state.delivered, index) ? 'leftOut' : 'waiting', by };
      if (!secret) return { state: 'locked', by };
      for (const one of here) {
        const share = this.open(one, secret);
        if (!share) continue;
        shares.set(index, { share, secretHash: one.secretHash });
        return { state: 'good', by: one.by };
      }
      return { state: 'junk', by };
    });
    return {
      purchase,
      state,
      parts,
      good: shares.size,
      key: recoverKey(shares, found.threshold),
      actions: actionsOf(found, escrowOf(purchase), state, marks, windows),
      partsUntil: deadlinesOf(found, state, windows).fallbackDelivery,
    };
  }

  /** Whether the purchase committed to this leaf: a node's word alone is not believed. */
  private isCommitted({ record }: KeptPurchase, { terms, copy }: Purchase, one: Fragment): boolean {
    const proof = record.partProofs[one.index];
    const leaf = partLeaf({ ...one, copy: terms.stock ? copy : 0n });
    return proof !== undefined && verifyProof(terms.partsRoot, leaf, proof);
  }

  /** The share in a fragment; null for junk. */
  private open(one: Fragment, secret: PurchaseSecret): Uint8Array | null {
    const name = `${one.index} ${toHex(one.fragment)}`;
    const known = this.judged.get(name);
    if (known !== undefined) return known;
    let share: Uint8Array | null = null;
    for (const key of [() => secret.partSecret(one.index), () => secret.freshSecret()]) {
      try {
        share ??= openShare(one.fragment, key(), one.commitment);
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
      }
    }
    this.judged.set(name, share);
    return share;
  }
}

function secretOf({ record }: KeptPurchase, seed: Uint8Array): PurchaseSecret {
  const { chainId, market, copyId, attempt } = record;
  return new BuyerSeed(seed).purchase(BigInt(chainId), market, copyId, attempt);
}

/** The key that any k shares give and that they promise; undefined where there is none yet. */
export function recoverKey(
  shares: ReadonlyMap<number, { share: Uint8Array; secretHash: Uint8Array }>,
  threshold: number,
): Uint8Array | undefined {
  let left = MOST_JOINS;
  for (const chosen of choices([...shares.keys()], threshold)) {
    if (!left--) return undefined;
    const some = new Map(chosen.map((i) => [i, shares.get(i)?.share as Uint8Array]));
    const key = join(some, threshold);
    const promised = shares.get(chosen[0] as number)?.secretHash as Uint8Array;
    if (equal(keccak(key), promised)) return key;
  }
  return undefined;
}

function* choices(from: readonly number[], count: number): Generator<number[]> {
  if (!count) yield [];
  else {
    for (const [i, one] of from.entries()) {
      for (const rest of choices(from.slice(i + 1), count - 1)) yield [one, ...rest];
    }
  }
}
