// The golden vectors that Python wrote (tests/vectors/README.md).

import { readFileSync } from 'node:fs';
import { fromHex } from '../src/core/index.js';

// biome-ignore lint/suspicious/noExplicitAny: rows of two dozen shapes, looked at field by field
export type Row = Record<string, any>;

const file = new URL('../../tests/vectors/vectors.json', import.meta.url);
export const vectors: Record<string, Row[]> = JSON.parse(
  new TextDecoder().decode(readFileSync(file)),
);

/** The rows of one kind; there is none without rows. */
export function rows(kind: string): Row[] {
  const found = vectors[kind];
  if (!found?.length) throw new Error(`no vectors of kind ${kind}`);
  used.add(kind);
  return found;
}

export const used = new Set<string>();

export const raw = fromHex;
export const raws = (texts: string[]): Uint8Array[] => texts.map(fromHex);

/** A record's fields as the core has them: numbers of the named fields, bigints, bytes. */
export function typed<T>(row: Row): T {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, field(name, value)]),
  ) as T;
}

const NUMBERS = new Set(['parts', 'threshold', 'index', 'status', 'since']);

function field(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (value.startsWith('0x')) return value.length === 42 ? value : fromHex(value);
  return NUMBERS.has(name) ? Number(value) : BigInt(value);
}
