// Keys that the cores of Salsa20 and ChaCha20 make of a key and 16 bytes.

import type { hchacha } from '@noble/ciphers/chacha.js';
import type { hsalsa } from '@noble/ciphers/salsa.js';

/** "expand 32-byte k", as both have it. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

export function subkey(
  core: typeof hsalsa | typeof hchacha,
  key: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  const out = new Uint32Array(8);
  core(SIGMA, wordsOf(key), wordsOf(nonce), out);
  return bytesOf(out);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(bytes.length / 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, true);
  return words;
}

function bytesOf(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return bytes;
}
