// The three hash functions of the protocol.

import { blake2b as nobleBlake2b } from '@noble/hashes/blake2.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concat, utf8 } from './bytes.js';

/** keccak256 as the EVM computes it (not SHA3-256), of the parts joined. */
export function keccak(...parts: readonly Uint8Array[]): Uint8Array {
  return keccak_256(parts.length === 1 ? (parts[0] as Uint8Array) : concat(...parts));
}

export function sha256(data: Uint8Array): Uint8Array {
  return nobleSha256(data);
}

export interface Blake2b {
  size: number;
  key?: Uint8Array;
  /** At most 16 ASCII characters; filled up with zeros. */
  person?: string;
}

export function blake2b(message: Uint8Array, { size, key, person }: Blake2b): Uint8Array {
  return nobleBlake2b(message, {
    dkLen: size,
    ...(key && { key }),
    ...(person !== undefined && { personalization: padded(utf8(person), 16) }),
  });
}

function padded(bytes: Uint8Array, size: number): Uint8Array {
  const whole = new Uint8Array(size);
  whole.set(bytes);
  return whole;
}
