// What a seller and a buyer derive from one 32-byte seed each (protocol, section 3.5).

import { type Address, addressBytes } from './address.js';
import { concat, uint } from './bytes.js';
import { Malformed } from './errors.js';
import { blake2b } from './hash.js';
import { isElement, split } from './shamir.js';
import { hasHalfSizePair } from './x25519.js';

function derive(key: Uint8Array, person: string, ...message: readonly Uint8Array[]): Uint8Array {
  return blake2b(concat(...message), { size: 32, key, person });
}

/** The value of the lowest counter that fits; the others are thrown away, not reduced. */
function firstThat(
  fits: (value: Uint8Array) => boolean,
  key: Uint8Array,
  person: string,
  ...message: readonly Uint8Array[]
): Uint8Array {
  for (let counter = 0; ; counter++) {
    const value = derive(key, person, ...message, uint(counter, 4));
    if (fits(value)) return value;
  }
}

function checkSeed(seed: Uint8Array): void {
  if (seed.length !== 32) throw new Malformed('a seed is 32 bytes');
}

/** Which copy's parts are meant; `copy` is 0 where all copies share their parts. */
export interface Place {
  chainId: bigint;
  market: Address;
  itemId: Uint8Array;
  copy: bigint;
  generation: bigint;
}

function encodePlace(place: Place): Uint8Array {
  return concat(
    uint(place.chainId, 32),
    addressBytes(place.market),
    place.itemId,
    uint(place.copy, 8),
    uint(place.generation, 8),
  );
}

export class SellerSeed {
  readonly #seed: Uint8Array;

  constructor(seed: Uint8Array) {
    checkSeed(seed);
    this.#seed = seed;
  }

  contentKey(place: Place): Uint8Array {
    return firstThat(isElement, this.#seed, 'dam.content', encodePlace(place));
  }

  coefficients(place: Place, k: number, n: number): Uint8Array[] {
    return Array.from({ length: k - 1 }, (_, i) =>
      firstThat(isElement, this.#seed, 'dam.share', encodePlace(place), Uint8Array.of(n, k, i + 1)),
    );
  }

  shares(place: Place, k: number, n: number): Uint8Array[] {
    return split(this.contentKey(place), k, n, this.coefficients(place, k, n));
  }

  salt(place: Place, index: number): Uint8Array {
    return derive(this.#seed, 'dam.salt', encodePlace(place), Uint8Array.of(index));
  }
}

export class BuyerSeed {
  readonly #seed: Uint8Array;

  constructor(seed: Uint8Array) {
    checkSeed(seed);
    this.#seed = seed;
  }

  /** The secrets of one purchase; one that is tried again takes a new attempt. */
  purchase(chainId: bigint, market: Address, copyId: Uint8Array, attempt: number): PurchaseSecret {
    return new PurchaseSecret(
      derive(
        this.#seed,
        'dam.purchase',
        uint(chainId, 32),
        addressBytes(market),
        copyId,
        uint(attempt, 4),
      ),
    );
  }
}

/** The one-time keys of a purchase follow from its 32-byte secret alone. */
export class PurchaseSecret {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    checkSeed(secret);
    this.#secret = secret;
  }

  /** The secret itself: shown to nobody. */
  reveal(): Uint8Array {
    return this.#secret.slice();
  }

  /** The X25519 secret that the fragment of this index is sealed to. */
  partSecret(index: number): Uint8Array {
    return firstThat(hasHalfSizePair, this.#secret, 'dam.part-key', Uint8Array.of(index));
  }

  /** The X25519 secret of the sale's fresh key, which replacements of junk are sealed to. */
  freshSecret(): Uint8Array {
    return firstThat(hasHalfSizePair, this.#secret, 'dam.fresh-key');
  }
}
