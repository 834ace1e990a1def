// libsodium's crypto_secretstream_xchacha20poly1305, as far as DAM uses it.
//
// Tags are MESSAGE and FINAL, and a stream has at most 8,192 blocks: nothing is ever rekeyed and the
// counter never wraps, so neither is here.

import { poly1305 } from '@noble/ciphers/_poly1305.js';
import { chacha20, hchacha } from '@noble/ciphers/chacha.js';
import { concat, equal, littleUint } from './bytes.js';
import { Malformed } from './errors.js';
import { subkey } from './subkey.js';

export const HEADER_BYTES = 24;
/** What a block is longer than its plaintext. */
export const STREAM_OVERHEAD = 17;
export const MESSAGE = 0;
export const FINAL = 3;

/** The state of either end of a stream: both start from the header. */
export class SecretStream {
  private readonly key: Uint8Array;
  private readonly nonce = new Uint8Array(12);

  constructor(key: Uint8Array, header: Uint8Array) {
    if (header.length !== HEADER_BYTES) {
      throw new Malformed(`the header of a stream is ${HEADER_BYTES} bytes`);
    }
    this.key = subkey(hchacha, key, header.slice(0, 16));
    this.nonce[0] = 1;
    this.nonce.set(header.subarray(16), 4);
  }

  push(message: Uint8Array, associated: Uint8Array, tag: number): Uint8Array {
    const first = new Uint8Array(64);
    first[0] = tag;
    const block = chacha20(this.key, this.nonce, first, undefined, 1);
    const ciphertext = chacha20(this.key, this.nonce, message, undefined, 2);
    const mac = this.mac(associated, block, ciphertext);
    this.advance(mac);
    return concat(block.slice(0, 1), ciphertext, mac);
  }

  /** Message and tag of the next block; it must have its full overhead. */
  pull(sealed: Uint8Array, associated: Uint8Array): { message: Uint8Array; tag: number } {
    if (sealed.length < STREAM_OVERHEAD) throw new Malformed('a block of the stream is cut off');
    const end = sealed.length - 16;
    const first = new Uint8Array(64);
    first[0] = sealed[0] as number;
    const plain = chacha20(this.key, this.nonce, first, undefined, 1);
    const tag = plain[0] as number;
    plain[0] = sealed[0] as number;
    const ciphertext = sealed.subarray(1, end);
    const mac = this.mac(associated, plain, ciphertext);
    if (!equal(mac, sealed.subarray(end))) throw new Malformed('a block does not open');
    const message = chacha20(this.key, this.nonce, ciphertext, undefined, 2);
    this.advance(mac);
    return { message, tag };
  }

  private mac(associated: Uint8Array, block: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    const key = chacha20(this.key, this.nonce, new Uint8Array(64), undefined, 0).slice(0, 32);
    const mac = poly1305.create(key);
    mac.update(associated);
    mac.update(new Uint8Array(-associated.length & 15));
    mac.update(block);
    mac.update(ciphertext);
    // A slip of libsodium that it keeps: so many zeros, where their complement was meant.
    mac.update(new Uint8Array(ciphertext.length & 15));
    mac.update(littleUint(associated.length, 8));
    mac.update(littleUint(64 + ciphertext.length, 8));
    return mac.digest();
  }

  private advance(mac: Uint8Array): void {
    const view = new DataView(this.nonce.buffer);
    view.setUint32(0, view.getUint32(0, true) + 1, true);
    for (let i = 0; i < 8; i++) (this.nonce[4 + i] as number) ^= mac[i] as number;
  }
}
