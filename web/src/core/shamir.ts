// Shamir's scheme over 2^256 - 189 (protocol, section 3.3).

import { uint, uintOf } from './bytes.js';
import { Malformed } from './errors.js';

export const PRIME = 2n ** 256n - 189n;
export const MAX_PARTS = 32;

/** Whether 32 big-endian bytes are a number below p. */
export function isElement(value: Uint8Array): boolean {
  return value.length === 32 && uintOf(value) < PRIME;
}

function element(value: Uint8Array, what: string): bigint {
  if (!isElement(value)) throw new Malformed(`a ${what} is 32 bytes and below 2^256 - 189`);
  return uintOf(value);
}

function checkCounts(k: number, n: number): void {
  if (!(Number.isInteger(k) && Number.isInteger(n) && 1 <= k && k <= n && n <= MAX_PARTS)) {
    throw new Malformed('a sharing is between 1-of-1 and 32-of-32');
  }
}

/** n shares of the secret, any k of which rebuild it. */
export function split(
  secret: Uint8Array,
  k: number,
  n: number,
  coefficients: readonly Uint8Array[],
): Uint8Array[] {
  checkCounts(k, n);
  if (coefficients.length !== k - 1)
    throw new Malformed(`${k}-of-${n} takes ${k - 1} coefficients`);
  const polynomial = [element(secret, 'secret')];
  for (const coefficient of coefficients) polynomial.push(element(coefficient, 'coefficient'));
  return Array.from({ length: n }, (_, index) => {
    const x = BigInt(index + 1);
    return uint(
      polynomial.reduceRight((value, coefficient) => (value * x + coefficient) % PRIME, 0n),
      32,
    );
  });
}

/**
 * The secret, from the k shares of lowest index. Any k numbers lie on some polynomial: the caller
 * compares the hash of the result with secretHash before it is used.
 */
export function join(shares: ReadonlyMap<number, Uint8Array>, k: number): Uint8Array {
  checkCounts(k, MAX_PARTS);
  if (shares.size < k) throw new Malformed(`${k} shares are needed, ${shares.size} are there`);
  const indices = [...shares.keys()].sort((a, b) => a - b);
  if (indices.some((index) => !Number.isInteger(index) || index < 0 || index >= MAX_PARTS)) {
    throw new Malformed('the index of a share is 0 to 31');
  }
  const points = indices
    .slice(0, k)
    .map(
      (index) => [BigInt(index + 1), element(shares.get(index) as Uint8Array, 'share')] as const,
    );
  let secret = 0n;
  for (const [x, value] of points) {
    let numerator = 1n;
    let denominator = 1n;
    for (const [other] of points) {
      if (other === x) continue;
      numerator = (numerator * other) % PRIME;
      denominator = (denominator * (other - x + PRIME)) % PRIME;
    }
    secret = (secret + value * numerator * inverse(denominator)) % PRIME;
  }
  return uint(secret, 32);
}

function inverse(value: bigint): bigint {
  let [before, now] = [PRIME, value];
  let [tBefore, t] = [0n, 1n];
  while (now > 1n) {
    const quotient = before / now;
    [before, now] = [now, before - quotient * now];
    [tBefore, t] = [t, tBefore - quotient * t];
  }
  return t < 0n ? t + PRIME : t;
}
