// Purchases from before they are paid to their end: a tab may close between any two lines.

import {
  type Address,
  decodeRecord,
  encodeRecord,
  equal,
  Malformed,
  type Purchase,
  type PurchaseRecord,
  toHex,
} from '../core/index.js';
import { type Db, KeepError } from './db.js';

/**
 * `saved` before the wallet is asked; `asked` just before it is; `sent` with a hash; `bought` when
 * the purchase was seen on chain; `parts`, `open` as they come; `done`. `lost`: another buyer was
 * faster; `failed`: nothing was paid, nor will be.
 */
export type State =
  | 'saved'
  | 'asked'
  | 'sent'
  | 'bought'
  | 'parts'
  | 'open'
  | 'done'
  | 'lost'
  | 'failed';

export interface KeptPurchase {
  /** copyId and attempt: no attempt's keys are ever used for another. */
  id: string;
  state: State;
  /** The command line's record of it; its `tx`, `block` and `failed` follow the state. */
  record: PurchaseRecord;
  /** Whose money it is. */
  account: Address;
  /** The node's newest block when it was saved: from there on it is looked for. */
  sinceBlock: number;
  blockHash?: string;
  /** What the wallet is asked to send: calldata and coins; of a purchase begun here. */
  data?: Uint8Array;
  value?: bigint;
  /** As the store called the good's file; a stranger's word. */
  fileName?: string;
  /** Numbers of pieces of a file that are saved already. */
  piecesDone?: number;
}

/** As it lies in the database: a record in the bytes of its file. */
type Stored = Omit<KeptPurchase, 'record'> & { record: Uint8Array };

const NEXT: Readonly<Record<State, readonly State[]>> = {
  saved: ['asked', 'bought', 'lost', 'failed'],
  // Back to saved: the buyer said no in the wallet.
  asked: ['saved', 'sent', 'bought', 'lost', 'failed'],
  sent: ['bought', 'lost', 'failed'],
  // Back to sent: the block was replaced.
  bought: ['sent', 'parts', 'open', 'done'],
  parts: ['sent', 'open', 'done'],
  open: ['done'],
  done: ['open'],
  // A node may have been wrong, or late.
  lost: ['bought'],
  failed: ['bought'],
};

export function purchaseId({ copyId, attempt }: PurchaseRecord): string {
  return `${toHex(copyId)}-${attempt}`;
}

/** The name that the command line gives the file of this record. */
export function recordFileName(record: PurchaseRecord): string {
  return `${purchaseId(record)}.json`;
}

/** Whether this attempt became that purchase: the same copy, and all of its keys. */
export function becameOf(
  record: PurchaseRecord,
  purchase: Pick<Purchase, 'copyId' | 'keys'>,
): boolean {
  return (
    equal(record.copyId, purchase.copyId) &&
    record.keys.length === purchase.keys.length &&
    record.keys.every((key, i) => equal(key, purchase.keys[i] as Uint8Array))
  );
}

export interface Move {
  tx?: Uint8Array;
  block?: number;
  blockHash?: string;
  piecesDone?: number;
}

/** The purchase in its next state. */
export function moved(kept: KeptPurchase, state: State, move: Move = {}): KeptPurchase {
  if (state !== kept.state && !NEXT[kept.state].includes(state)) {
    throw new KeepError(`a purchase does not go from ${kept.state} to ${state}`);
  }
  const { blockHash, piecesDone } = move;
  const after: KeptPurchase = {
    ...kept,
    state,
    record: {
      ...kept.record,
      tx: move.tx ?? kept.record.tx,
      block: move.block ?? kept.record.block,
      failed: state === 'failed' || state === 'lost',
    },
    ...(blockHash !== undefined && { blockHash }),
    ...(piecesDone !== undefined && { piecesDone }),
  };
  if (state === 'sent') {
    after.record.block = null;
    delete after.blockHash;
  }
  return after;
}

/** What is to do with a purchase that is found when the page starts. */
export type Resumption =
  | 'offerAgain'
  | 'walletMayStillAsk'
  | 'wait'
  | 'goOn'
  | 'anotherWasFaster'
  | 'reorganised'
  | 'nothing';

/** `sold`: what the chain says of the copy, by the view and the log of its purchase. */
export function resume({ state }: KeptPurchase, sold: 'no' | 'ours' | 'other'): Resumption {
  if (sold === 'ours') return 'goOn';
  if (sold === 'other')
    return state === 'lost' || state === 'failed' ? 'nothing' : 'anotherWasFaster';
  switch (state) {
    case 'saved':
      return 'offerAgain';
    case 'asked':
      return 'walletMayStillAsk';
    case 'sent':
      return 'wait';
    case 'lost':
    case 'failed':
      return 'nothing';
    default:
      return 'reorganised';
  }
}

export class Purchases {
  constructor(private readonly db: Db) {}

  /** Writes a new purchase, before the wallet is asked; refuses one that is there. */
  async add(kept: Omit<KeptPurchase, 'id' | 'state'>): Promise<KeptPurchase> {
    const whole: KeptPurchase = { ...kept, id: purchaseId(kept.record), state: 'saved' };
    await this.db.change<Stored>('purchases', whole.id, (before) => {
      if (before) throw new KeepError('another tab is buying this copy just now; try again');
      return store(whole);
    });
    return whole;
  }

  async get(id: string): Promise<KeptPurchase | undefined> {
    const found = await this.db.get<Stored>('purchases', id);
    return found && load(found);
  }

  /** The newest first. */
  async all(): Promise<KeptPurchase[]> {
    const found = (await this.db.all<Stored>('purchases')).map(load);
    return found.sort((a, b) => (a.record.made < b.record.made ? 1 : -1));
  }

  /** Moves a purchase on, from whatever state it is in now. */
  async move(id: string, state: State, move: Move = {}): Promise<KeptPurchase> {
    let after: KeptPurchase | undefined;
    await this.db.change<Stored>('purchases', id, (before) => {
      if (!before) throw new KeepError('there is no such purchase');
      after = moved(load(before), state, move);
      return store(after);
    });
    return after as KeptPurchase;
  }

  /**
   * Takes a record file of the command line, or of another browser. One that is here already keeps
   * its state.
   */
  async import(file: Uint8Array): Promise<KeptPurchase> {
    const record = decodeRecord(file);
    const id = purchaseId(record);
    const state: State = record.failed
      ? 'failed'
      : record.tx || record.block !== null
        ? 'sent'
        : 'asked';
    const after = await this.db.change<Stored>('purchases', id, (before) => {
      if (before) {
        if (!becameOf(load(before).record, record)) {
          throw new Malformed('this purchase is here already, with other keys');
        }
        return before;
      }
      return store({ id, state, record, account: record.buyer, sinceBlock: record.block ?? 0 });
    });
    return load(after);
  }
}

function store(kept: KeptPurchase): Stored {
  return { ...kept, record: encodeRecord(kept.record) };
}

function load(stored: Stored): KeptPurchase {
  return { ...stored, record: decodeRecord(stored.record) };
}
