// The golden vectors that Python wrote (tests/vectors/README.md).

import { readFileSync } from 'node:fs';
import { fromHex, type StorePlace, utf8 } from '../src/core/index.js';

// biome-ignore lint/suspicious/noExplicitAny: rows of two dozen shapes, looked at field by field
export type Row = Record<string, any>;

function load(name: string): Record<string, Row[]> {
  const file = new URL(`../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(new TextDecoder().decode(readFileSync(file)));
}

export const vectors = load('vectors');
export const chain = load('chain');
/** Kinds that were asked for. */
export const used = new Set<string>();
export const usedChain = new Set<string>();

/** The rows of one kind; there is none without rows. */
export const rows = (kind: string): Row[] => rowsOf(vectors, used, kind);
export const chainRows = (kind: string): Row[] => rowsOf(chain, usedChain, kind);

function rowsOf(file: Record<string, Row[]>, seen: Set<string>, kind: string): Row[] {
  const found = file[kind];
  if (!found?.length) throw new Error(`no vectors of kind ${kind}`);
  seen.add(kind);
  return found;
}

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

/** A store's blocks by their CIDs, and where it stands. */
export function storeOf(row: Row): { blocks: Map<string, Uint8Array>; place: StorePlace } {
  const blocks = new Map<string, Uint8Array>(
    row.blocks.map(({ cid, text }: Row) => [cid, utf8(text)]),
  );
  const place = {
    chainId: Number(row.chainId),
    market: row.market,
    seller: row.seller,
    digest: raw(row.digest),
    root: raw(row.catalogueRoot),
  };
  return { blocks, place };
}
