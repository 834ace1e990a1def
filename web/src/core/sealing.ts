// Sealed parts, which only their deliverer opens, and fragments, which only the buyer does.

import { randomBytes } from '@noble/hashes/utils.js';
import { concat, equal } from './bytes.js';
import { Malformed, NotForMe } from './errors.js';
import { blake2b, keccak } from './hash.js';
import {
  checkPublicKey,
  isOnCurve,
  openBox,
  openSecretBox,
  sealBox,
  sealSecretBox,
} from './x25519.js';

export const FRAGMENT_BYTES = 80;
export const SEALED_BYTES = 186;
export const PLAIN_SEALED_BYTES = 178;
export const PLAINTEXT_BYTES = 130;
const TAG_BYTES = 16;
const NONCE_BYTES = 24;

/** The plaintext of a sealed part; everything but the index is 32 bytes. */
export interface Part {
  domain: Uint8Array;
  index: number;
  share: Uint8Array;
  secretHash: Uint8Array;
  salt: Uint8Array;
}

export function encodePart(part: Part): Uint8Array {
  const bytes = concat(
    Uint8Array.of(1),
    part.domain,
    Uint8Array.of(part.index),
    part.share,
    part.secretHash,
    part.salt,
  );
  if (bytes.length !== PLAINTEXT_BYTES || bytes[33] !== part.index) {
    throw new Malformed('a field of the part does not fit');
  }
  return bytes;
}

export function decodePart(bytes: Uint8Array): Part {
  if (bytes.length !== PLAINTEXT_BYTES || bytes[0] !== 1) {
    throw new Malformed('the plaintext of the part is not of version 1');
  }
  return {
    domain: bytes.slice(1, 33),
    index: bytes[33] as number,
    share: bytes.slice(34, 66),
    secretHash: bytes.slice(66, 98),
    salt: bytes.slice(98, 130),
  };
}

/** What a deliverer looks its part up by. */
export function partTag(shared: Uint8Array, domain: Uint8Array): Uint8Array {
  return blake2b(domain, { size: TAG_BYTES, key: shared });
}

/** `shared` is `sharedKey` of the page's secret and the deliverer's key. */
export function sealPart(
  shared: Uint8Array,
  part: Part,
  nonce: Uint8Array = randomBytes(NONCE_BYTES),
): Uint8Array {
  return concat(
    partTag(shared, part.domain),
    nonce,
    sealSecretBox(shared, nonce, encodePart(part)),
  );
}

/** The caller compares the domain with the item's before it believes the part. */
export function openPart(shared: Uint8Array, sealed: Uint8Array): Part {
  if (sealed.length !== SEALED_BYTES) throw new Malformed(`a sealed part is ${SEALED_BYTES} bytes`);
  const nonce = sealed.slice(TAG_BYTES, TAG_BYTES + NONCE_BYTES);
  const plain = openSecretBox(shared, nonce, sealed.slice(TAG_BYTES + NONCE_BYTES));
  if (!plain) throw new NotForMe('the part is sealed with another key');
  return decodePart(plain);
}

/** As `openPart`, of a part without a page key. */
export function openPlainPart(secret: Uint8Array, sealed: Uint8Array): Part {
  if (sealed.length !== PLAIN_SEALED_BYTES) {
    throw new Malformed(`a plain sealed part is ${PLAIN_SEALED_BYTES} bytes`);
  }
  const plain = openBox(sealed, secret);
  if (!plain) throw new NotForMe('the part is sealed to another key');
  return decodePart(plain);
}

export function sealFragment(
  share: Uint8Array,
  theirs: Uint8Array,
  ephemeral?: Uint8Array,
): Uint8Array {
  if (share.length !== 32) throw new Malformed('a share is 32 bytes');
  return sealBox(share, theirs, ephemeral);
}

/**
 * The share in a fragment. It is not believed until its keccak is the commitment of the event.
 *
 * @throws Malformed the fragment is junk (protocol, section 6.1), or not 80 bytes
 */
export function openFragment(fragment: Uint8Array, secret: Uint8Array): Uint8Array {
  if (fragment.length !== FRAGMENT_BYTES) {
    throw new Malformed(`a fragment is ${FRAGMENT_BYTES} bytes, not ${fragment.length}`);
  }
  checkEphemeralKey(fragment);
  const share = openBox(fragment, secret);
  if (!share) throw new Malformed("it does not open with this sale's key");
  return share;
}

/**
 * The share in a fragment that is not junk: as `openFragment`, and it is what the leaf commits to.
 *
 * @throws Malformed it is junk, and a proof with this secret would succeed
 */
export function openShare(
  fragment: Uint8Array,
  secret: Uint8Array,
  commitment: Uint8Array,
): Uint8Array {
  const share = openFragment(fragment, secret);
  if (!equal(keccak(share), commitment)) {
    throw new Malformed('it opens to something else than the part committed to');
  }
  return share;
}

/** Refuses a fragment whose ephemeral key is junk by itself: libsodium would open some of them. */
export function checkEphemeralKey(fragment: Uint8Array): void {
  const key = fragment.slice(0, 32);
  checkPublicKey(key);
  if (!isOnCurve(key)) throw new Malformed('its ephemeral key is off the curve');
}
