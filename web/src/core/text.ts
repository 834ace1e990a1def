// Which characters stand where in texts of strangers (protocol, section 4.1): a table of code points,
// never what this runtime's Unicode thinks of them.

import rules from '../../../src/dam/text_rules.json' with { type: 'json' };
import { isWellFormed } from './bytes.js';
import { Malformed } from './errors.js';
import { byteLength } from './fields.js';
import type { Json } from './json.js';

export const MAX_ID_BYTES = 128;
export const MAX_LINE_BYTES = 512;

/** First and last code points of ranges, ascending. */
function ranges(texts: readonly string[]): Uint32Array {
  return Uint32Array.from(
    texts.flatMap((text) => text.split('-')),
    (end) => Number.parseInt(end, 16),
  );
}

const NOWHERE = ranges(rules.nowhere);
const TEXTS_ONLY = ranges(rules.texts_only);
const NOT_IN_IDS = ranges(rules.not_in_ids);
const NOT_AT_ENDS = ranges(rules.not_at_ends);

function within(table: Uint32Array, code: number): boolean {
  let low = 0;
  let high = table.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (code > (table[2 * middle + 1] as number)) low = middle + 1;
    else high = middle;
  }
  return 2 * low < table.length && code >= (table[2 * low] as number);
}

function printable(
  value: Json | undefined,
  what: string,
  limit: number,
  refused: readonly Uint32Array[],
): string {
  if (typeof value !== 'string' || !value) throw new Malformed(`${what} is not a text`);
  if (!isWellFormed(value)) throw new Malformed(`${what} holds a lone surrogate`);
  if (byteLength(value) > limit) throw new Malformed(`${what} is longer than ${limit} bytes`);
  for (const character of value) {
    const code = character.codePointAt(0) as number;
    if (refused.some((table) => within(table, code))) {
      throw new Malformed(`${what} holds control, invisible or unassigned characters`);
    }
  }
  return value;
}

function trimmed(text: string, what: string): string {
  const characters = [...text];
  for (const end of [characters[0], characters[characters.length - 1]]) {
    if (within(NOT_AT_ENDS, (end as string).codePointAt(0) as number)) {
      throw new Malformed(`${what} has spaces around it`);
    }
  }
  return text;
}

/** An id: one line of at most 128 bytes, in one spelling alone. */
export function identifier(value: Json | undefined, what: string, limit = MAX_ID_BYTES): string {
  const text = printable(value, what, limit, [NOWHERE, TEXTS_ONLY, NOT_IN_IDS]);
  // Only now: what this runtime's Unicode does not know, it would normalise as it pleases.
  if (text.normalize('NFC') !== text) throw new Malformed(`${what} is not in normal form (NFC)`);
  return trimmed(text, what);
}

/** One line for people to read, at most 512 bytes. */
export function line(value: Json | undefined, what: string, limit = MAX_LINE_BYTES): string {
  return trimmed(printable(value, what, limit, [NOWHERE, TEXTS_ONLY]), what);
}

/** Plain text of several lines; it may be empty. */
export function text(value: Json | undefined, what: string, limit: number): string {
  return value === '' ? '' : printable(value, what, limit, [NOWHERE]);
}

/** A key of what a seller adds: the characters of an id, whatever their order. */
export function key(value: Json | undefined, what: string): string {
  return printable(value, what, MAX_ID_BYTES, [NOWHERE, TEXTS_ONLY, NOT_IN_IDS]);
}
