// Readers of single fields from outside: each returns a typed value or throws `Malformed`. `what`
// names the field in the message; the hostile value itself is never in it.

import { type Address, parseAddress } from './address.js';
import { fromHex, utf8 } from './bytes.js';
import { Cid, type Codec } from './cid.js';
import { Malformed } from './errors.js';
import type { Json } from './json.js';

export const MAX_AMOUNT = 2n ** 128n - 1n;

export type JsonObject = { [key: string]: Json };

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object with these keys and no others. */
export function record(
  value: Json | undefined,
  what: string,
  required: readonly string[],
  optional: readonly string[] = [],
): JsonObject {
  if (!isObject(value)) throw new Malformed(`${what} is not an object`);
  const missing = required.filter((key) => !Object.hasOwn(value, key));
  if (missing.length) throw new Malformed(`${what} lacks ${missing.join(', ')}`);
  if (Object.keys(value).some((key) => !required.includes(key) && !optional.includes(key))) {
    throw new Malformed(`${what} has a key that this version does not know`);
  }
  return value;
}

export function array<T>(
  value: Json | undefined,
  what: string,
  limit: number,
  read: (element: Json, what: string) => T,
): T[] {
  if (!Array.isArray(value)) throw new Malformed(`${what} is not an array`);
  if (value.length > limit) throw new Malformed(`${what} has over ${limit} elements`);
  return value.map((element) => read(element, what));
}

/** A number of smallest units: a decimal string without leading zeros. */
export function amount(value: Json | undefined, what: string, limit = MAX_AMOUNT): bigint {
  if (typeof value !== 'string' || value.length > 39 || !/^(?:0|[1-9][0-9]*)$/.test(value)) {
    throw new Malformed(`${what} is not a whole number, written as a text`);
  }
  const number = BigInt(value);
  if (number > limit) throw new Malformed(`${what} is over its limit of ${limit}`);
  return number;
}

export function integer(value: Json | undefined, what: string, low: number, high: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < low || value > high) {
    throw new Malformed(`${what} is not an integer from ${low} to ${high}`);
  }
  return value;
}

export function boolean(value: Json | undefined, what: string): boolean {
  if (typeof value !== 'boolean') throw new Malformed(`${what} is not true or false`);
  return value;
}

/** 0x and lower-case digits: `low` bytes, or from `low` to `high`. */
export function hexadecimal(
  value: Json | undefined,
  what: string,
  low: number,
  high = low,
): Uint8Array {
  const size = typeof value === 'string' ? Math.floor((value.length - 2) / 2) : -1;
  if (typeof value === 'string' && low <= size && size <= high) {
    try {
      return fromHex(value);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  throw new Malformed(`${what} is not 0x and the lower-case hex digits of ${low} bytes`);
}

export function bytes32(value: Json | undefined, what: string): Uint8Array {
  return hexadecimal(value, what, 32);
}

export function address(value: Json | undefined, what: string): Address {
  try {
    return parseAddress(value);
  } catch {
    throw new Malformed(`${what} is not an address (0x and 40 hex digits, EIP-55)`);
  }
}

/** An IPLD link: `{"/": "<CIDv1>"}`. */
export function link(value: Json | undefined, what: string, codec: Codec): Cid {
  const text = record(value, what, ['/'])['/'];
  let cid: Cid;
  try {
    cid = Cid.parse(text);
  } catch {
    throw new Malformed(`${what} is not a link to a block that DAM reads`);
  }
  if (cid.codec !== codec) throw new Malformed(`${what} does not link to a ${codec} block`);
  return cid;
}

export function byteLength(text: string): number {
  return utf8(text).length;
}
