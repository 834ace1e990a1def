// Solidity's ABI, as far as the market uses it, from signatures as texts.
//
// Decoding is strict: a contract emits one encoding of a value, so what is not equal to the encoding
// of what was read is a forgery.

import { type Address, addressBytes, checksum } from './address.js';
import { concat, equal, isZero, uint, uintOf, utf8 } from './bytes.js';
import { Malformed } from './errors.js';
import { keccak } from './hash.js';

/** uint8 to uint48 are numbers, wider ones bigints; bytes32[2] is 64 bytes; structs are records. */
export type Value =
  | bigint
  | number
  | boolean
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [name: string]: Value };

export type Type =
  | { kind: 'uint'; bits: number }
  | { kind: 'address' | 'bool' | 'bytes' | 'string' }
  | { kind: 'fixed'; size: number }
  | { kind: 'words'; count: number }
  | { kind: 'list'; of: Type }
  | { kind: 'struct'; fields: readonly Field[] };

export interface Field {
  name: string;
  type: Type;
  indexed: boolean;
}

export interface Signature {
  name: string;
  inputs: readonly Field[];
  outputs: readonly Field[];
  /** keccak of the canonical form: an event's first topic; its first four bytes: a selector. */
  digest: Uint8Array;
}

const WORD = 32;

/** Reads `name(type name, ...) -> (...)`, with structs by their names. */
export function parseSignature(text: string, structs: Readonly<Record<string, string>>): Signature {
  const match = /^(\w+)\((.*?)\)(?: -> \((.*)\))?$/.exec(text);
  if (!match) throw new Error(`no signature: ${text}`);
  const inputs = parseFields(match[2] as string, structs);
  const canonical = `${match[1]}(${inputs.map((field) => canonicalType(field.type)).join(',')})`;
  return {
    name: match[1] as string,
    inputs,
    outputs: parseFields(match[3] ?? '', structs),
    digest: keccak(utf8(canonical)),
  };
}

export function parseFields(text: string, structs: Readonly<Record<string, string>>): Field[] {
  if (!text) return [];
  return text.split(', ').map((part, place) => {
    const words = part.split(' ');
    const indexed = words[1] === 'indexed';
    const name = words[indexed ? 2 : 1] ?? String(place);
    return { name, type: parseType(words[0] as string, structs), indexed };
  });
}

function parseType(text: string, structs: Readonly<Record<string, string>>): Type {
  if (text.endsWith('[]')) return { kind: 'list', of: parseType(text.slice(0, -2), structs) };
  if (text === 'bytes32[2]') return { kind: 'words', count: 2 };
  if (text === 'address' || text === 'bool' || text === 'bytes' || text === 'string') {
    return { kind: text };
  }
  const match = /^(uint|bytes)(\d+)$/.exec(text);
  if (match?.[1] === 'uint') return { kind: 'uint', bits: Number(match[2]) };
  if (match) return { kind: 'fixed', size: Number(match[2]) };
  const fields = structs[text];
  if (fields === undefined) throw new Error(`no type: ${text}`);
  return { kind: 'struct', fields: parseFields(fields, structs) };
}

export function canonicalType(type: Type): string {
  switch (type.kind) {
    case 'uint':
      return `uint${type.bits}`;
    case 'fixed':
      return `bytes${type.size}`;
    case 'words':
      return `bytes32[${type.count}]`;
    case 'list':
      return `${canonicalType(type.of)}[]`;
    case 'struct':
      return `(${type.fields.map((field) => canonicalType(field.type)).join(',')})`;
    default:
      return type.kind;
  }
}

function isDynamic(type: Type): boolean {
  if (type.kind === 'struct') return type.fields.some((field) => isDynamic(field.type));
  return type.kind === 'bytes' || type.kind === 'string' || type.kind === 'list';
}

/** Bytes in place: of a dynamic type, its offset. */
function headSize(type: Type): number {
  if (isDynamic(type)) return WORD;
  if (type.kind === 'words') return WORD * type.count;
  if (type.kind !== 'struct') return WORD;
  return type.fields.reduce((size, field) => size + headSize(field.type), 0);
}

// ---------------------------------------------------------------------------------------- encoding

/** `abi.encode` of the fields, one value each, by name. */
export function encodeFields(
  fields: readonly Field[],
  values: { readonly [name: string]: Value },
): Uint8Array {
  return encodeAll(
    fields.map((field) => field.type),
    fields.map((field) => {
      const value = values[field.name];
      if (value === undefined) throw new Malformed(`${field.name} is missing`);
      return value;
    }),
  );
}

function encodeAll(types: readonly Type[], values: readonly Value[]): Uint8Array {
  const heads: Uint8Array[] = [];
  const tails: Uint8Array[] = [];
  let at = types.reduce((size, type) => size + headSize(type), 0);
  types.forEach((type, i) => {
    const encoded = encodeValue(type, values[i] as Value);
    if (!isDynamic(type)) {
      heads.push(encoded);
      return;
    }
    heads.push(uint(at, WORD));
    tails.push(encoded);
    at += encoded.length;
  });
  return concat(...heads, ...tails);
}

function encodeValue(type: Type, value: Value): Uint8Array {
  switch (type.kind) {
    case 'uint':
      if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) break;
      if (BigInt(value as bigint) >> BigInt(type.bits)) break;
      return uint(value as bigint, WORD);
    case 'bool':
      if (typeof value !== 'boolean') break;
      return uint(value ? 1 : 0, WORD);
    case 'address':
      if (typeof value !== 'string' || !/^0x[0-9a-fA-F]{40}$/.test(value)) break;
      return addressWord(value);
    case 'fixed':
      if (!(value instanceof Uint8Array) || value.length !== type.size) break;
      return concat(value, new Uint8Array(WORD - type.size));
    case 'words':
      if (!(value instanceof Uint8Array) || value.length !== WORD * type.count) break;
      return value;
    case 'bytes':
    case 'string': {
      const bytes = typeof value === 'string' && type.kind === 'string' ? utf8(value) : value;
      if (!(bytes instanceof Uint8Array)) break;
      return concat(uint(bytes.length, WORD), bytes, new Uint8Array(-bytes.length & (WORD - 1)));
    }
    case 'list':
      if (!Array.isArray(value)) break;
      return concat(
        uint(value.length, WORD),
        encodeAll(
          value.map(() => type.of),
          value,
        ),
      );
    case 'struct':
      if (typeof value !== 'object' || Array.isArray(value)) break;
      return encodeFields(type.fields, value as { readonly [name: string]: Value });
  }
  throw new Malformed(`not a ${canonicalType(type)}`);
}

// ---------------------------------------------------------------------------------------- decoding

/** The values of the fields by name. Texts come as their bytes: they need not be UTF-8. */
export function decodeFields(
  fields: readonly Field[],
  data: Uint8Array,
): { [name: string]: Value } {
  const found = readFields(fields, data, 0);
  if (!equal(encodeFields(fields, found), data)) {
    throw new Malformed('not encoded as the contract does');
  }
  return found;
}

function readFields(
  fields: readonly Field[],
  data: Uint8Array,
  start: number,
): { [name: string]: Value } {
  const found: { [name: string]: Value } = {};
  let at = start;
  for (const { name, type } of fields) {
    found[name] = readValue(type, data, isDynamic(type) ? start + offset(data, at) : at);
    at += headSize(type);
  }
  return found;
}

function readValue(type: Type, data: Uint8Array, at: number): Value {
  switch (type.kind) {
    case 'uint': {
      const number = uintOf(word(data, at));
      if (number >> BigInt(type.bits)) throw new Malformed(`not a uint${type.bits}`);
      return type.bits <= 48 ? Number(number) : number;
    }
    case 'bool': {
      const number = uintOf(word(data, at));
      if (number > 1n) throw new Malformed('not a boolean word');
      return number === 1n;
    }
    case 'address': {
      const bytes = word(data, at);
      if (!isZero(bytes.subarray(0, 12))) throw new Malformed('not an address word');
      return checksum(bytes.slice(12));
    }
    case 'fixed':
      return word(data, at).slice(0, type.size);
    case 'words':
      return slice(data, at, WORD * type.count);
    case 'bytes':
    case 'string':
      return slice(data, at + WORD, offset(data, at));
    case 'list': {
      const count = offset(data, at);
      const step = headSize(type.of);
      // Before anything is made: so many do not fit.
      slice(data, at + WORD, count * step);
      const types = Array.from({ length: count }, (_, i) => ({
        name: String(i),
        type: type.of,
        indexed: false,
      }));
      return Object.values(readFields(types, data, at + WORD));
    }
    case 'struct':
      return readFields(type.fields, data, at);
  }
}

function word(data: Uint8Array, at: number): Uint8Array {
  return slice(data, at, WORD);
}

function slice(data: Uint8Array, at: number, size: number): Uint8Array {
  if (at + size > data.length) throw new Malformed('the encoding is cut off');
  return data.slice(at, at + size);
}

/** A place or a length: nothing of ours is over 2^32. */
function offset(data: Uint8Array, at: number): number {
  const number = uintOf(word(data, at));
  if (number >> 32n) throw new Malformed('an offset beyond everything');
  return Number(number);
}

export function addressWord(address: Address): Uint8Array {
  return concat(new Uint8Array(12), addressBytes(address));
}
