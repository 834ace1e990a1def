// X25519 keys and libsodium's sealed boxes (protocol, sections 3.1 and 3.2).

import { hsalsa, secretbox } from '@noble/ciphers/salsa.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { randomBytes } from '@noble/hashes/utils.js';
import { concat, fromHex, littleUint, littleUintOf, toHex } from './bytes.js';
import { Malformed } from './errors.js';
import { blake2b } from './hash.js';
import { subkey } from './subkey.js';

const P = 2n ** 255n - 19n;
const A = 486662n;
/** Prime order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const HALF = 2n ** 128n;

/** Every canonical u coordinate of order 1, 2, 4 or 8, on the curve or its twist. */
export const LOW_ORDER_KEYS: readonly Uint8Array[] = [
  littleUint(0, 32),
  littleUint(1, 32),
  fromHex('0xe0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
  fromHex('0x5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
  littleUint(P - 1n, 32),
];
const LOW_ORDER = new Set(LOW_ORDER_KEYS.map(toHex));

/** Refuses improper public keys, as the contract does. */
export function checkPublicKey(key: Uint8Array): void {
  if (key.length !== 32) throw new Malformed(`an X25519 key is 32 bytes, not ${key.length}`);
  if (littleUintOf(key) >= P) throw new Malformed('the X25519 key is not canonical');
  if (LOW_ORDER.has(toHex(key))) throw new Malformed('the X25519 key is of low order');
}

export function publicKey(secret: Uint8Array): Uint8Array {
  return x25519.scalarMultBase(secret);
}

/** libsodium's crypto_box_beforenm: HSalsa20 of the X25519 result. */
export function sharedKey(secret: Uint8Array, theirs: Uint8Array): Uint8Array {
  checkPublicKey(theirs);
  return beforenm(secret, theirs);
}

function beforenm(secret: Uint8Array, theirs: Uint8Array): Uint8Array {
  return subkey(hsalsa, x25519.scalarMult(secret, theirs), new Uint8Array(16));
}

/** libsodium's crypto_secretbox. */
export function sealSecretBox(key: Uint8Array, nonce: Uint8Array, text: Uint8Array): Uint8Array {
  return secretbox(key, nonce).seal(text);
}

/** What a secret box holds, or undefined where it does not open. */
export function openSecretBox(
  key: Uint8Array,
  nonce: Uint8Array,
  box: Uint8Array,
): Uint8Array | undefined {
  try {
    return secretbox(key, nonce).open(box);
  } catch {
    return undefined;
  }
}

/** libsodium's crypto_box_seal. `ephemeral` is random unless given, which only vectors need. */
export function sealBox(
  message: Uint8Array,
  theirs: Uint8Array,
  ephemeral: Uint8Array = randomBytes(32),
): Uint8Array {
  const own = publicKey(ephemeral);
  const key = sharedKey(ephemeral, theirs);
  return concat(own, sealSecretBox(key, boxNonce(own, theirs), message));
}

/** libsodium's crypto_box_seal_open; undefined where it does not open. */
export function openBox(
  sealed: Uint8Array,
  secret: Uint8Array,
  own: Uint8Array = publicKey(secret),
): Uint8Array | undefined {
  if (sealed.length < 48) return undefined;
  const theirs = sealed.slice(0, 32);
  let key: Uint8Array;
  try {
    key = beforenm(secret, theirs);
  } catch {
    return undefined;
  }
  return openSecretBox(key, boxNonce(theirs, own), sealed.slice(32));
}

function boxNonce(ephemeral: Uint8Array, theirs: Uint8Array): Uint8Array {
  return blake2b(concat(ephemeral, theirs), { size: 24 });
}

/** Whether a point of the curve has this canonical u coordinate (else its twist has one). */
export function isOnCurve(key: Uint8Array): boolean {
  const u = littleUintOf(key);
  const right = (u * (u * (u + A) + 1n)) % P;
  return power(right, (P - 1n) / 2n) !== P - 1n;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % P;
  for (let left = exponent; left; left >>= 1n) {
    if (left & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

/** The scalar that X25519 makes of 32 bytes (RFC 7748, section 5). */
export function clamp(secret: Uint8Array): bigint {
  return (littleUintOf(secret) & (2n ** 254n - 8n)) | (2n ** 254n);
}

/**
 * Whether the secret has a half-size pair: a = b k' modulo L with a < 2^128, b odd, |b| < 2^128,
 * where 8 k' is its scalar, met by Euclid's algorithm on L and k'. One in 40 has none, and what it
 * opens would be dear to prove.
 */
export function hasHalfSizePair(secret: Uint8Array): boolean {
  let [before, a] = [L, clamp(secret) >> 3n];
  let [bBefore, b] = [0n, 1n];
  while (b < HALF && b > -HALF) {
    if (a < HALF && b & 1n) return true;
    const quotient = before / a;
    [before, a] = [a, before - quotient * a];
    [bBefore, b] = [b, bBefore - quotient * b];
  }
  return false;
}
