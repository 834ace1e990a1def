// Purchase records: one for each attempt to buy, written before the money moves; the same files as
// those of the `dam` command. No secret is in them.

import type { Address } from './address.js';
import { toHex } from './bytes.js';
import { address, array, boolean, bytes32, integer, record } from './fields.js';
import { decodeFile, encodeJson, MAX_INTEGER } from './json.js';
import { type Payload, payloadFromJson, payloadToJson } from './payload.js';
import { MAX_PARTS } from './shamir.js';
import { identifier, line } from './text.js';

export interface PurchaseRecord {
  chainId: number;
  market: Address;
  copyId: Uint8Array;
  attempt: number;
  seller: Address;
  buyer: Address;
  /** The item's id, as the store has it. */
  item: string;
  title: string;
  storeDigest: Uint8Array;
  /** Catalogue root at the time. */
  root: Uint8Array;
  /** Public one-time keys, by index. */
  keys: Uint8Array[];
  /** Ciphertext of the good; null where the store could not be read. */
  payload: Payload | null;
  /** Merkle proofs of the copy's leaves, by index. */
  partProofs: Uint8Array[][];
  /** UTC, ISO 8601. */
  made: string;
  tx: Uint8Array | null;
  block: number | null;
  /** Refused: nothing was paid, nor will be. */
  failed: boolean;
}

const KEYS = [
  'version',
  'chainId',
  'market',
  'copyId',
  'attempt',
  'seller',
  'buyer',
  'item',
  'title',
  'storeDigest',
  'root',
  'keys',
  'payload',
  'partProofs',
  'made',
  'tx',
  'block',
  'failed',
];
const MAX_PROOF_STEPS = 64;

/** The bytes of a record's file. */
export function encodeRecord(one: PurchaseRecord): Uint8Array {
  return encodeJson({
    version: 2,
    chainId: one.chainId,
    market: one.market,
    copyId: toHex(one.copyId),
    attempt: one.attempt,
    seller: one.seller,
    buyer: one.buyer,
    item: one.item,
    title: one.title,
    storeDigest: toHex(one.storeDigest),
    root: toHex(one.root),
    keys: one.keys.map(toHex),
    payload: one.payload && payloadToJson(one.payload),
    partProofs: one.partProofs.map((proof) => proof.map(toHex)),
    made: one.made,
    tx: one.tx && toHex(one.tx),
    block: one.block,
    failed: one.failed,
  });
}

export function decodeRecord(data: Uint8Array): PurchaseRecord {
  const found = record(decodeFile(data), 'record', KEYS);
  integer(found.version, 'version', 2, 2);
  return {
    chainId: integer(found.chainId, 'chainId', 1, MAX_INTEGER),
    market: address(found.market, 'market'),
    copyId: bytes32(found.copyId, 'copyId'),
    attempt: integer(found.attempt, 'attempt', 0, 2 ** 32 - 1),
    seller: address(found.seller, 'seller'),
    buyer: address(found.buyer, 'buyer'),
    item: identifier(found.item, 'item'),
    title: line(found.title, 'title'),
    storeDigest: bytes32(found.storeDigest, 'storeDigest'),
    root: bytes32(found.root, 'root'),
    keys: array(found.keys, 'keys', MAX_PARTS, bytes32),
    payload: found.payload === null ? null : payloadFromJson(found.payload),
    partProofs: array(found.partProofs, 'partProofs', MAX_PARTS, (proof, what) =>
      array(proof, what, MAX_PROOF_STEPS, bytes32),
    ),
    made: line(found.made, 'made'),
    tx: found.tx === null ? null : bytes32(found.tx, 'tx'),
    block: found.block === null ? null : integer(found.block, 'block', 0, MAX_INTEGER),
    failed: boolean(found.failed, 'failed'),
  };
}
