// A deliverer's key, announced with a proof that whoever announces it has it (section 3.1).

import { ed25519 } from '@noble/curves/ed25519.js';
import { type Address, addressBytes } from './address.js';
import { concat, uint, utf8 } from './bytes.js';
import { Malformed } from './errors.js';
import { checkPublicKey } from './x25519.js';

export function possessionMessage(chainId: bigint, market: Address, operator: Address): Uint8Array {
  const place = [uint(chainId, 32), addressBytes(market), addressBytes(operator)];
  return concat(utf8('DAM deliverer key 2'), ...place);
}

/** The Ed25519 key that the 32 secret bytes of a deliverer announce. */
export function announcedKey(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(seed);
}

export function provePossession(
  seed: Uint8Array,
  chainId: bigint,
  market: Address,
  operator: Address,
): Uint8Array {
  return ed25519.sign(possessionMessage(chainId, market, operator), seed);
}

/** The X25519 secret with which the deliverer opens its parts. */
export function sealingSecret(seed: Uint8Array): Uint8Array {
  return ed25519.utils.toMontgomerySecret(seed);
}

/** The X25519 key that parts of this operator are sealed to; refused without a valid possession. */
export function sealingKey(
  key: Uint8Array,
  possession: Uint8Array,
  chainId: bigint,
  market: Address,
  operator: Address,
): Uint8Array {
  if (key.length !== 32 || possession.length !== 64) {
    throw new Malformed('an Ed25519 key is 32 bytes, and its signature 64');
  }
  const message = possessionMessage(chainId, market, operator);
  let found: Uint8Array;
  try {
    if (!ed25519.verify(possession, message, key, { zip215: false })) throw new Malformed('no');
    found = ed25519.utils.toMontgomery(key);
  } catch {
    throw new Malformed('the deliverer did not show that it has the key');
  }
  checkPublicKey(found);
  return found;
}
