// CIDs of the two kinds of blocks that DAM reads (protocol, section 4.1).

import { concat, equal } from './bytes.js';
import { Malformed } from './errors.js';
import { sha256 } from './hash.js';

export type Codec = 'dag-json' | 'raw';

export const MAX_BLOCK_BYTES = 1 << 20;

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
// CIDv1, the codec as an unsigned varint, sha2-256, 32 bytes.
const PREFIX: Readonly<Record<Codec, Uint8Array>> = {
  'dag-json': Uint8Array.of(0x01, 0xa9, 0x02, 0x12, 0x20),
  raw: Uint8Array.of(0x01, 0x55, 0x12, 0x20),
};

/** The name of a block: its codec and the SHA-256 of its bytes. */
export class Cid {
  constructor(
    readonly codec: Codec,
    readonly digest: Uint8Array,
  ) {
    if (digest.length !== 32) throw new Malformed('the digest of a CID is 32 bytes');
  }

  static of(codec: Codec, block: Uint8Array): Cid {
    return new Cid(codec, sha256(block));
  }

  /** Reads the canonical text, and nothing else. */
  static parse(text: unknown): Cid {
    if (typeof text === 'string' && /^b(?:[a-z2-7]{60}|[a-z2-7]{58})$/.test(text)) {
      const bytes = base32Of(text.slice(1));
      for (const codec of Object.keys(PREFIX) as Codec[]) {
        const prefix = PREFIX[codec];
        if (bytes.length !== prefix.length + 32) continue;
        if (!equal(bytes.subarray(0, prefix.length), prefix)) continue;
        const cid = new Cid(codec, bytes.slice(prefix.length));
        // Spare bits of the last letter are zero: one block, one name.
        if (cid.toString() === text) return cid;
      }
    }
    throw new Malformed('not a CID that DAM reads (CIDv1, base32, dag-json or raw, sha2-256)');
  }

  toString(): string {
    return `b${base32(concat(PREFIX[this.codec], this.digest))}`;
  }

  /** Whether the bytes are this CID's block, and small enough to be one. */
  names(block: Uint8Array): boolean {
    return block.length <= MAX_BLOCK_BYTES && equal(sha256(block), this.digest);
  }
}

function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += LETTERS.charAt((held >> bits) & 31);
    }
  }
  return bits ? text + LETTERS.charAt((held << (5 - bits)) & 31) : text;
}

function base32Of(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of text) {
    held = ((held << 5) | LETTERS.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 255;
    }
  }
  return bytes;
}
