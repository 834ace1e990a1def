// A node's logs, checked word for word: a node is not trusted.

import type { Address } from './address.js';
import { concat, equal, fromAnyHex } from './bytes.js';
import { Malformed } from './errors.js';
import { copyId } from './hashing.js';
import { type DecodedEvent, decodeEvent } from './market.js';
import { MAX_PARTS } from './shamir.js';
import type { Fragment, Purchase } from './types.js';

/** What of a node's answer is looked at here. */
export interface RawLog {
  address: string;
  topics: readonly string[];
  data: string;
}

const CLOCK_BITS = 48n;

/** A log of the market, by name and arguments; those of a purchase are checked against each other. */
export function decodeLog(log: RawLog, market: Address): DecodedEvent {
  if (log.address.toLowerCase() !== market.toLowerCase()) {
    throw new Malformed('a log of another contract');
  }
  const topics = log.topics.map(fromAnyHex);
  if (topics.some((topic) => topic.length !== 32)) throw new Malformed('a topic is 32 bytes');
  const found = decodeEvent(topics, fromAnyHex(log.data));
  if (found.name === 'ItemPurchased') checkPurchase(found.args as unknown as Purchase);
  return found;
}

function checkPurchase({ seller, terms, copy, keys, ...found }: Purchase): void {
  if (terms.parts < 1 || terms.parts > MAX_PARTS || keys.length !== terms.parts) {
    throw new Malformed('a purchase without one key for each part');
  }
  if (found.purchaseBlock >> CLOCK_BITS || found.purchaseTime >> CLOCK_BITS) {
    throw new Malformed("a purchase at a time that no chain's clock has");
  }
  if (!equal(found.copyId, copyId(seller, terms.itemId, copy))) {
    throw new Malformed('copyId is not the hash of what was bought');
  }
}

/** The arguments of `ItemPurchased`, or undefined for another event. */
export function purchaseOf({ name, args }: DecodedEvent): Purchase | undefined {
  return name === 'ItemPurchased' ? (args as unknown as Purchase) : undefined;
}

/** A part that was delivered or supplied, or undefined for another event. */
export function fragmentOf({ name, args }: DecodedEvent): Fragment | undefined {
  if (name !== 'FragmentDelivered' && name !== 'FragmentSupplied') return undefined;
  const { ephemeralKey, tag, ciphertext, by, seller, ...leaf } = args;
  return {
    ...(leaf as unknown as Fragment),
    by: (by ?? seller) as Address,
    fragment: concat(ephemeralKey as Uint8Array, tag as Uint8Array, ciphertext as Uint8Array),
    supplied: name === 'FragmentSupplied',
  };
}
