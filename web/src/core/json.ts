// Canonical DAG-JSON for blocks, and strict JSON for files (protocol, section 4.1).
//
// One parser reads both: a block has one form alone, in a file white space, escapes and the order of
// keys are free. JSON.parse would not do: it takes a key twice, and rounds above 2^53.

import { isWellFormed, utf8, utf8Of } from './bytes.js';
import { Cid } from './cid.js';
import { Malformed } from './errors.js';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export const MAX_DEPTH = 32;
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  n: '\n',
  '/': '/',
  b: '\b',
  f: '\f',
  r: '\r',
  t: '\t',
};

/** The value of a DAG-JSON block: its one canonical form, and nothing else. */
export function decodeBlock(bytes: Uint8Array): Json {
  return new Parser(utf8Of(bytes), true).whole();
}

/** The value of a strict JSON file. */
export function decodeFile(bytes: Uint8Array): Json {
  return new Parser(utf8Of(bytes), false).whole();
}

/** The canonical bytes of a value. */
export function encodeJson(value: Json): Uint8Array {
  return utf8(write(value));
}

function write(value: Json): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) {
      throw new Malformed('an integer in JSON is from 0 to 2^53 - 1');
    }
    return String(value);
  }
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  const keys = Object.keys(value).sort(byCodePoint);
  return `{${keys.map((key) => `${JSON.stringify(key)}:${write(value[key] as Json)}`).join(',')}}`;
}

/** The order of UTF-8 bytes; that of UTF-16 units has U+E000 to U+FFFF behind the surrogates. */
export function byCodePoint(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const one = a.charCodeAt(i);
    const other = b.charCodeAt(i);
    if (one !== other) return raised(one) - raised(other);
  }
  return a.length - b.length;
}

function raised(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

class Parser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly canonical: boolean,
  ) {}

  whole(): Json {
    this.space();
    const value = this.value(0);
    this.space();
    if (this.at !== this.text.length) throw this.wrong('something behind the value');
    return value;
  }

  private value(depth: number): Json {
    switch (this.text.charAt(this.at)) {
      case '{':
        return this.object(depth + 1);
      case '[':
        return this.array(depth + 1);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.integer();
    }
  }

  private object(depth: number): Json {
    this.open(depth);
    // Without a prototype: `__proto__` is a key like others.
    const found: { [key: string]: Json } = Object.create(null);
    let before: string | undefined;
    if (this.take('}')) return found;
    for (;;) {
      if (this.text.charAt(this.at) !== '"') throw this.wrong('a key is missing');
      const key = this.string();
      if (key in found) throw this.wrong('a key twice');
      if (this.canonical && before !== undefined && byCodePoint(before, key) > 0) {
        throw this.wrong('keys out of order');
      }
      before = key;
      this.space();
      if (!this.take(':')) throw this.wrong('no colon');
      this.space();
      found[key] = this.value(depth);
      this.space();
      if (this.take('}')) break;
      if (!this.take(',')) throw this.wrong('no comma');
      this.space();
    }
    if (this.canonical && '/' in found) {
      Cid.parse(found['/']);
      if (Object.keys(found).length > 1) throw this.wrong('a link with a second key');
    }
    return found;
  }

  private array(depth: number): Json {
    this.open(depth);
    const found: Json[] = [];
    if (this.take(']')) return found;
    for (;;) {
      found.push(this.value(depth));
      this.space();
      if (this.take(']')) return found;
      if (!this.take(',')) throw this.wrong('no comma');
      this.space();
    }
  }

  private open(depth: number): void {
    if (depth > MAX_DEPTH) throw this.wrong(`nested deeper than ${MAX_DEPTH} levels`);
    this.at++;
    this.space();
  }

  private string(): string {
    let found = '';
    let from = ++this.at;
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit === 0x22) {
        found += this.text.slice(from, this.at++);
        if (!this.canonical && !isWellFormed(found)) throw this.wrong('a lone surrogate');
        return found;
      }
      // NaN at the end of the text.
      if (!(unit >= 0x20)) throw this.wrong('a string with a control, or without an end');
      if (unit !== 0x5c) {
        this.at++;
        continue;
      }
      found += this.text.slice(from, this.at) + this.escape();
      from = this.at;
    }
  }

  private escape(): string {
    const letter = this.text.charAt(this.at + 1);
    const plain = ESCAPES[letter];
    if (plain !== undefined && (!this.canonical || '"\\n'.includes(letter))) {
      this.at += 2;
      return plain;
    }
    const code = this.text.slice(this.at + 2, this.at + 6);
    if (this.canonical || letter !== 'u' || !/^[0-9a-fA-F]{4}$/.test(code)) {
      throw this.wrong('an escape that may not be');
    }
    this.at += 6;
    return String.fromCharCode(Number.parseInt(code, 16));
  }

  private integer(): number {
    const start = this.at;
    while (/^[0-9+\-.eE]$/.test(this.text.charAt(this.at))) this.at++;
    const digits = this.text.slice(start, this.at);
    // Sixteen digits hold 2^53; more would round.
    if (!/^(?:0|[1-9][0-9]{0,15})$/.test(digits) || Number(digits) > MAX_INTEGER) {
      throw this.wrong('not an integer from 0 to 2^53 - 1');
    }
    return Number(digits);
  }

  private word<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.wrong('no value');
    this.at += word.length;
    return value;
  }

  private take(letter: string): boolean {
    if (this.text.charAt(this.at) !== letter) return false;
    this.at++;
    return true;
  }

  private space(): void {
    if (this.canonical) return;
    while (/^[ \t\n\r]$/.test(this.text.charAt(this.at))) this.at++;
  }

  private wrong(what: string): Malformed {
    return new Malformed(`JSON: ${what}, at ${this.at}`);
  }
}
