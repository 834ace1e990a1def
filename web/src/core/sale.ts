// A sale's words on chain, its clocks, and what can be done with it when (protocol, section 5).

import { ZERO_ADDRESS } from './address.js';
import { concat, uint, uintOf } from './bytes.js';
import { type Escrow, type Sale, Status, type Windows } from './types.js';

/** In these blocks after the purchase only deliverers deliver. */
export const FALLBACK_BLOCKS = 100n;

/** The view `sales`, or its storage word. */
export interface SaleState {
  status: Status;
  /** Bit i: part i is there. */
  delivered: number;
  /** Seconds after the purchase at which the present state began. */
  since: number;
  rated: boolean;
  /** A part was proved to be junk: `Marks` say which. */
  marked: boolean;
  /** First 24 bytes of saleHash. */
  commitment: Uint8Array;
}

/** The view `marks`, or its storage word. */
export interface Marks {
  punished: number;
  cleared: number;
  /** First 24 bytes of the fresh key's keccak. */
  freshKey: Uint8Array;
}

export const NO_MARKS: Marks = { punished: 0, cleared: 0, freshKey: new Uint8Array(24) };

export function unpackSale(word: Uint8Array): SaleState {
  const low = uintOf(word.slice(24));
  return {
    status: Number((low >> 2n) & 7n),
    delivered: Number(low >> 32n),
    since: Number((low >> 5n) & ((1n << 27n) - 1n)),
    rated: Boolean(low & 2n),
    marked: Boolean(low & 1n),
    commitment: word.slice(0, 24),
  };
}

export function packSale(state: SaleState): Uint8Array {
  const flags = (state.rated ? 2n : 0n) | (state.marked ? 1n : 0n);
  const low = (BigInt(state.since) << 5n) | (BigInt(state.status) << 2n) | flags;
  return concat(state.commitment, uint((BigInt(state.delivered) << 32n) | low, 8));
}

export function unpackMarks(word: Uint8Array): Marks {
  const low = uintOf(word.slice(24));
  return {
    punished: Number(low >> 32n),
    cleared: Number(low & 0xffffffffn),
    freshKey: word.slice(0, 24),
  };
}

export function countBits(bits: number): number {
  let count = 0;
  for (let left = BigInt(bits); left; left >>= 1n) count += Number(left & 1n);
  return count;
}

export function hasBit(bits: number, index: number): boolean {
  return Boolean((BigInt(bits) >> BigInt(index)) & 1n);
}

export function isFinal(status: Status): boolean {
  return status >= Status.Settled;
}

/** The view `deadlines`; 0 where the sale's state has none. */
export interface Deadlines {
  fallbackBlock: bigint;
  deliver: bigint;
  proof: bigint;
  fallbackDelivery: bigint;
  refundFrom: bigint;
  dispute: bigint;
  ruling: bigint;
  arbitratorPaidFrom: bigint;
  settleFrom: bigint;
}

const NO_DEADLINES: Deadlines = {
  fallbackBlock: 0n,
  deliver: 0n,
  proof: 0n,
  fallbackDelivery: 0n,
  refundFrom: 0n,
  dispute: 0n,
  ruling: 0n,
  arbitratorPaidFrom: 0n,
  settleFrom: 0n,
};

export function deadlinesOf(sale: Sale, { status, since }: SaleState, windows: Windows): Deadlines {
  if (status === Status.None || isFinal(status)) return NO_DEADLINES;
  const start = sale.purchaseTime;
  const began = start + BigInt(since);
  const open = {
    ...NO_DEADLINES,
    fallbackBlock: sale.purchaseBlock + FALLBACK_BLOCKS + 1n,
    deliver: start + windows.refundSeconds / 3n,
    fallbackDelivery: start + windows.refundSeconds,
  };
  if (status === Status.Disputed) {
    const ruling = began + windows.arbitrationSeconds;
    const arbitratorPaidFrom = began + windows.arbitrationSeconds / 3n;
    return { ...open, ruling, arbitratorPaidFrom, settleFrom: ruling + 1n };
  }
  const proof = start + (2n * windows.refundSeconds) / 3n;
  if (status === Status.Purchased) {
    return { ...open, proof, refundFrom: open.fallbackDelivery + 1n };
  }
  const dispute = began + windows.disputeSeconds;
  return { ...open, proof, dispute, settleFrom: dispute + 1n };
}

/** `block.number` and `block.timestamp` as the contract sees them: the view `clock`. */
export interface Clock {
  block: bigint;
  time: bigint;
}

export type Deed =
  | 'deliver'
  | 'supply'
  | 'prove'
  | 'confirm'
  | 'dispute'
  | 'rule'
  | 'concede'
  | 'agree'
  | 'settle'
  | 'refund'
  | 'rate';
export type Who = 'deliverers' | 'seller' | 'buyer' | 'both' | 'arbitrator' | 'anyone';

/** Something that a party can do from some moment to another. */
export interface Action {
  name: Deed;
  who: Who;
  /** First second; 0: at once. */
  first: bigint;
  /** Last second; null: as long as the sale stays in this state. */
  last: bigint | null;
  /** First block, as the contract counts them; 0: at once. */
  firstBlock: bigint;
}

/** How many fees have left the sale: of parts that are there, or were cleared. */
export function paidParts(state: SaleState, marks: Marks): number {
  return countBits(Number(BigInt(state.delivered) | BigInt(marks.cleared)));
}

/** First block from the gate on; 0: it is open. */
export function gateBlock(sale: Sale, state: SaleState, marks: Marks): bigint {
  if (paidParts(state, marks) === sale.parts) return 0n;
  return sale.purchaseBlock + FALLBACK_BLOCKS + 1n;
}

/** Everything that the present state allows, now or later. */
export function actionsOf(
  sale: Sale,
  escrow: Pick<Escrow, 'arbitrator'>,
  state: SaleState,
  marks: Marks,
  windows: Windows,
): Action[] {
  const { status } = state;
  if (status === Status.None) return [];
  if (isFinal(status)) return state.rated ? [] : [action('rate', 'buyer')];
  const times = deadlinesOf(sale, state, windows);
  const gate = gateBlock(sale, state, marks);
  const found = deliveriesOf(sale, state, marks, times);
  if (status !== Status.Disputed) found.push(action('prove', 'buyer', 0n, times.proof));
  if (status === Status.Purchased) {
    found.push(action('agree', 'both', 0n, null, gate));
    found.push(action('refund', 'anyone', times.refundFrom));
  } else if (status === Status.Complete) {
    found.push(action('confirm', 'buyer', 0n, null, gate));
    if (escrow.arbitrator !== ZERO_ADDRESS) {
      found.push(action('dispute', 'buyer', 0n, times.dispute, gate));
    }
    found.push(action('concede', 'seller', 0n, null, gate));
    found.push(action('agree', 'both', 0n, null, gate));
    found.push(action('settle', 'anyone', times.settleFrom, null, gate));
  } else {
    found.push(action('rule', 'arbitrator', 0n, times.ruling));
    found.push(action('concede', 'buyer', 0n, times.ruling));
    found.push(action('concede', 'seller', 0n, times.ruling));
    found.push(action('agree', 'both', 0n, times.ruling));
    found.push(action('settle', 'anyone', times.settleFrom));
  }
  return found;
}

function deliveriesOf(sale: Sale, state: SaleState, marks: Marks, times: Deadlines): Action[] {
  const found: Action[] = [];
  const all = 2n ** BigInt(sale.parts) - 1n;
  const there = BigInt(state.delivered) & all;
  if ((there | BigInt(marks.punished)) !== (all | BigInt(marks.punished))) {
    found.push(action('deliver', 'deliverers', 0n, times.deliver));
  }
  if (there !== all) {
    found.push(action('deliver', 'seller', 0n, times.fallbackDelivery, times.fallbackBlock));
  }
  if (there) found.push(action('supply', 'seller'));
  return found;
}

function action(
  name: Deed,
  who: Who,
  first = 0n,
  last: bigint | null = null,
  firstBlock = 0n,
): Action {
  return { name, who, first, last, firstBlock };
}

/** Whether a transaction in the block after that of this clock could do it. */
export function openAt({ first, last, firstBlock }: Action, clock: Clock): boolean {
  const time = clock.time + 1n;
  return clock.block + 1n >= firstBlock && time >= first && (last === null || time <= last);
}

/** What can be done in the block after that of this clock. */
export function doable(actions: readonly Action[], clock: Clock): Action[] {
  return actions.filter((one) => openAt(one, clock));
}
