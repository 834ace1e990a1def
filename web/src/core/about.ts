// What an item says of itself, beside its terms and goods: a stranger's word, all of it.

import { Malformed } from './errors.js';
import { array, integer, type JsonObject, record } from './fields.js';
import { type Json, MAX_INTEGER } from './json.js';
import { CHUNK_BYTES, MAX_CHUNKS } from './payload.js';
import { identifier, key, line, text } from './text.js';

export const KINDS = ['code', 'text', 'file'] as const;
export type Kind = (typeof KINDS)[number];

/** A field that is missing: the seller said nothing. */
export interface About {
  kind?: Kind;
  summary?: string;
  tags?: string[];
  /** Of the good: BCP 47, as `pt-BR`. */
  language?: string;
  description?: string;
  licence?: string;
  /** A name that every system can hold; no path. */
  fileName?: string;
  mediaType?: string;
  /** Bytes of the good, by the seller's word. */
  size?: number;
}

const MAX_TAGS = 16;
const MAX_TAG_BYTES = 48;
const MAX_DESCRIPTION_BYTES = 4096;
const MAX_LICENCE_BYTES = 128;
const MAX_FILE_NAME_BYTES = 255;
const MAX_RANGES = 4096;
const MAX_METADATA_DEPTH = 8;
const LANGUAGE = /^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$/;
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}$/;
const NO_FILE = /[/\\:*?"<>|]|^\.|[. ]$/;
const DEVICE = /^(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?$/i;

function matching(pattern: RegExp, value: Json, what: string): string {
  if (typeof value !== 'string' || !pattern.test(value) || value.endsWith('\n')) {
    throw new Malformed(`${what} does not have its form`);
  }
  return value;
}

const READERS: { [name in keyof Required<About>]: (value: Json, what: string) => unknown } = {
  kind: (value, what) => {
    if (!KINDS.some((kind) => kind === value)) throw new Malformed(`${what} is no kind`);
    return value;
  },
  summary: (value, what) => line(value, what),
  tags: (value, what) => {
    const tags = array(value, what, MAX_TAGS, (tag) => identifier(tag, 'a tag', MAX_TAG_BYTES));
    if (!tags.length || new Set(tags).size !== tags.length) {
      throw new Malformed(`${what} are none, or one comes twice`);
    }
    return tags;
  },
  language: (value, what) => matching(LANGUAGE, value, what),
  description: (value, what) => {
    const found = text(value, what, MAX_DESCRIPTION_BYTES);
    if (!found) throw new Malformed(`${what} is empty`);
    return found;
  },
  licence: (value, what) => line(value, what, MAX_LICENCE_BYTES),
  fileName: (value, what) => {
    const name = line(value, what, MAX_FILE_NAME_BYTES);
    if (NO_FILE.test(name) || DEVICE.test(name)) {
      throw new Malformed(`${what} is a path, hidden, or no name on some systems`);
    }
    return name;
  },
  mediaType: (value, what) => matching(MEDIA_TYPE, value, what),
  size: (value, what) => integer(value, what, 0, MAX_CHUNKS * CHUNK_BYTES),
};

/** Fields that stand on a page, and those of its details. */
export const PAGE_KEYS = ['kind', 'summary', 'tags', 'language'];
export const DETAIL_KEYS = ['description', 'licence', 'fileName', 'mediaType', 'size'];

/** Reads those of an object's keys that are fields. */
export function readAbout(value: JsonObject): About {
  const found = Object.entries(READERS)
    .filter(([name]) => Object.hasOwn(value, name))
    .map(([name, read]) => [name, read(value[name] as Json, name)]);
  return Object.fromEntries(found);
}

/** First and last copy of a range. */
export type Range = readonly [first: number, last: number];

/** Ranges of copies: ascending, apart, below the supply. */
export function readRanges(value: Json | undefined, what: string, supply: bigint): Range[] {
  let low = 0;
  const ranges = array(value, what, MAX_RANGES, (pair) => {
    const [first, last, ...more] = array(pair, what, 2, (end) =>
      integer(end, what, 0, MAX_INTEGER),
    );
    if (first === undefined || last === undefined || more.length) {
      throw new Malformed(`${what} are pairs`);
    }
    if (first < low || last < first || BigInt(last) >= supply) {
      throw new Malformed(`${what} are not ascending ranges of copies with gaps between them`);
    }
    low = last + 2;
    return [first, last] as const;
  });
  if (!ranges.length) throw new Malformed(`${what} are no ranges: the key is left out then`);
  return ranges;
}

/** Whatever the seller adds: an object without the key `/`. Escape it before it is shown. */
export function readMetadata(value: Json | undefined, what: string): JsonObject {
  const found = record(
    value,
    what,
    [],
    typeof value === 'object' && value ? Object.keys(value) : [],
  );
  checkMetadata(found, what, MAX_METADATA_DEPTH);
  return found;
}

function checkMetadata(value: Json, what: string, depth: number): void {
  if (depth === 0)
    throw new Malformed(`${what} is nested deeper than ${MAX_METADATA_DEPTH} levels`);
  if (typeof value === 'string') text(value, what, 1 << 20);
  else if (typeof value === 'number') integer(value, what, 0, MAX_INTEGER);
  else if (Array.isArray(value)) {
    for (const element of value) checkMetadata(element, what, depth - 1);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, element] of Object.entries(value)) {
      if (name === '/') throw new Malformed(`${what} uses the reserved key '/'`);
      key(name, what);
      checkMetadata(element, what, depth - 1);
    }
  }
}
