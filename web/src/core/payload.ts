// Goods encrypted under their content key, inline or as a stream (protocol, section 3.4).

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { concat, toHex, utf8 } from './bytes.js';
import { type Cid, MAX_BLOCK_BYTES } from './cid.js';
import { Malformed } from './errors.js';
import { amount, array, hexadecimal, link, record } from './fields.js';
import type { Json } from './json.js';
import { FINAL, HEADER_BYTES, MESSAGE, SecretStream, STREAM_OVERHEAD } from './secretstream.js';
import { isElement } from './shamir.js';

const NONCE_BYTES = 24;
const TAG_BYTES = 16;
const MIN_INLINE_BYTES = 256;
const MAX_INLINE_BYTES = 4096;
/** Plaintext bytes of a full chunk. */
export const CHUNK_BYTES = MAX_BLOCK_BYTES - STREAM_OVERHEAD;
export const MAX_CHUNKS = 8192;

export interface InlinePayload {
  kind: 'inline';
  /** Nonce, and ciphertext with its tag. */
  box: Uint8Array;
}

export interface StreamPayload {
  kind: 'stream';
  header: Uint8Array;
  /** Of the plaintext, in bytes. */
  size: number;
  chunks: readonly Cid[];
}

export type Payload = InlinePayload | StreamPayload;

function associated(domain: Uint8Array): Uint8Array {
  return concat(utf8('DAM payload 1'), domain);
}

function checkKey(key: Uint8Array): void {
  if (!isElement(key)) throw new Malformed('a content key is 32 bytes and below 2^256 - 189');
}

/** The least power of two above the size, and at least 256. */
function paddedSize(size: number): number {
  let padded = MIN_INLINE_BYTES;
  while (padded <= size) padded *= 2;
  return padded;
}

/** The good of an inline payload. */
export function openInline(
  key: Uint8Array,
  domain: Uint8Array,
  { box }: InlinePayload,
): Uint8Array {
  checkKey(key);
  let padded: Uint8Array;
  try {
    const cipher = xchacha20poly1305(key, box.slice(0, NONCE_BYTES), associated(domain));
    padded = cipher.decrypt(box.slice(NONCE_BYTES));
  } catch {
    throw new Malformed('the payload does not open with this key and domain');
  }
  const mark = padded.lastIndexOf(0x80);
  if (mark < 0 || padded.subarray(mark + 1).some(Boolean) || padded.length !== paddedSize(mark)) {
    throw new Malformed('the padding of the payload is wrong');
  }
  return padded.slice(0, mark);
}

/** Opens the blocks of a stream in order: `push` each, then `finish`. */
export class StreamOpener {
  private readonly stream: SecretStream;
  private readonly associated: Uint8Array;
  private left: number;
  private ended = false;

  constructor(key: Uint8Array, domain: Uint8Array, payload: StreamPayload) {
    checkKey(key);
    this.stream = new SecretStream(key, payload.header);
    this.associated = associated(domain);
    this.left = payload.size;
  }

  /** The plaintext of the next block, whose CID the caller has checked. */
  push(block: Uint8Array): Uint8Array {
    if (this.ended) throw new Malformed('the payload goes on after its end');
    if (block.length < STREAM_OVERHEAD || block.length > MAX_BLOCK_BYTES) {
      throw new Malformed('a block of the payload has an impossible size');
    }
    const { message, tag } = this.stream.pull(block, this.associated);
    this.left -= message.length;
    if (this.left < 0 || (tag !== MESSAGE && tag !== FINAL)) {
      throw new Malformed('the payload is longer than it says, or has a tag that it may not have');
    }
    this.ended = tag === FINAL;
    return message;
  }

  /** Refuses a stream that was cut off. */
  finish(): void {
    if (!this.ended || this.left) throw new Malformed('the payload is cut off before its end');
  }
}

export function payloadToJson(payload: Payload): Json {
  if (payload.kind === 'inline') return { inline: toHex(payload.box) };
  return {
    header: toHex(payload.header),
    size: String(payload.size),
    chunks: payload.chunks.map((cid) => ({ '/': cid.toString() })),
  };
}

/** Reads the JSON form in a document. */
export function payloadFromJson(value: Json | undefined, what = 'payload'): Payload {
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'inline')) {
    const box = record(value, what, ['inline']).inline;
    const overhead = NONCE_BYTES + TAG_BYTES;
    const [low, high] = [overhead + MIN_INLINE_BYTES, overhead + MAX_INLINE_BYTES];
    return { kind: 'inline', box: hexadecimal(box, what, low, high) };
  }
  const found = record(value, what, ['header', 'size', 'chunks']);
  const chunks = array(found.chunks, what, MAX_CHUNKS, (one) =>
    link(one, `a chunk of ${what}`, 'raw'),
  );
  const most = BigInt(MAX_CHUNKS * CHUNK_BYTES);
  const size = Number(amount(found.size, `the size of ${what}`, most));
  if (!chunks.length || size > chunks.length * CHUNK_BYTES) {
    throw new Malformed(`the size of ${what} does not fit its chunks`);
  }
  const header = hexadecimal(found.header, `the header of ${what}`, HEADER_BYTES);
  return { kind: 'stream', header, size, chunks };
}
