// What tests of kept purchases share.

import * as dam from '../src/core/index.js';

/** 32 bytes that a label names. */
export const bytes = (label: string): Uint8Array => dam.keccak(dam.utf8(label));
export const account = (label: string): dam.Address => dam.checksum(bytes(label).slice(0, 20));

export const MARKET = account('market');

/** The record of a purchase of two parts that was not sent. */
export function record(changed: Partial<dam.PurchaseRecord> = {}): dam.PurchaseRecord {
  return {
    chainId: 31337,
    market: MARKET,
    copyId: bytes('copy'),
    attempt: 7,
    seller: MARKET,
    buyer: account('buyer'),
    item: 'coupon',
    title: 'A coupon',
    storeDigest: bytes('store'),
    root: bytes('root'),
    keys: [bytes('key 0'), bytes('key 1')],
    payload: { kind: 'inline', box: new Uint8Array(24 + 256 + 16) },
    partProofs: [[bytes('step')], []],
    made: '2026-11-30T12:00:00Z',
    tx: null,
    block: null,
    failed: false,
    ...changed,
  };
}
