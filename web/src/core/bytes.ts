// Bytes, hex, numbers in bytes, texts in bytes.

import { Malformed } from './errors.js';

const DIGITS = '0123456789abcdef';
const encoder = new TextEncoder();
// A byte order mark is a character like others: whoever parses refuses it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** 0x and lower-case digits. */
export function toHex(bytes: Uint8Array): string {
  let text = '0x';
  for (const byte of bytes) text += DIGITS.charAt(byte >> 4) + DIGITS.charAt(byte & 15);
  return text;
}

/** The bytes of 0x and an even number of lower-case digits, and of nothing else. */
export function fromHex(text: string): Uint8Array {
  if (!/^0x(?:[0-9a-f]{2})*$/.test(text) || text.endsWith('\n')) {
    throw new Malformed('not 0x and lower-case hex digits');
  }
  return hexDigits(text);
}

/** As `fromHex`, but the case of the digits is free: what a node answers. */
export function fromAnyHex(text: string): Uint8Array {
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(text) || text.endsWith('\n')) {
    throw new Malformed('not 0x and hex digits');
  }
  return hexDigits(text);
}

function hexDigits(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2 - 1);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number.parseInt(text.slice(2 * i + 2, 2 * i + 4), 16);
  }
  return bytes;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Not in constant time: for hashes and public things. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compare(a, b) === 0;
}

/** Below, at or above zero, as `a` sorts before, with or after `b`. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference) return difference;
  }
  return a.length - b.length;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** A whole number as big-endian bytes. */
export function uint(value: bigint | number, size: number): Uint8Array {
  let left = BigInt(value);
  if (left < 0n || left >> BigInt(8 * size)) throw new Malformed(`a number of ${size} bytes`);
  const bytes = new Uint8Array(size);
  for (let i = size - 1; i >= 0; i--) {
    bytes[i] = Number(left & 255n);
    left >>= 8n;
  }
  return bytes;
}

export function uintOf(bytes: Uint8Array): bigint {
  return bytes.length ? BigInt(toHex(bytes)) : 0n;
}

/** As `uint`, little-endian: numbers of X25519. */
export function littleUint(value: bigint | number, size: number): Uint8Array {
  return uint(value, size).reverse();
}

export function littleUintOf(bytes: Uint8Array): bigint {
  return uintOf(bytes.slice().reverse());
}

/** UTF-8. A lone surrogate is refused, not replaced. */
export function utf8(text: string): Uint8Array {
  if (!isWellFormed(text)) throw new Malformed('a text with a lone surrogate');
  return encoder.encode(text);
}

/** The text of UTF-8 bytes, a byte order mark included. */
export function utf8Of(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Malformed('not UTF-8');
  }
}

export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
