// The hashes that chain, catalogue and sealed parts share (protocol, section 2.1).

import { addressWord } from './abi.js';
import { type Address, ZERO_ADDRESS } from './address.js';
import { concat, uint, utf8 } from './bytes.js';
import { keccak } from './hash.js';
import { encodeStruct } from './market.js';
import type { Escrow, PartLeaf, Purchase, Sale, Split, Terms } from './types.js';

const word = (value: bigint | number): Uint8Array => uint(value, 32);

export function itemId(name: string): Uint8Array {
  return keccak(utf8(name));
}

export function copyId(seller: Address, item: Uint8Array, copy: bigint): Uint8Array {
  return keccak(addressWord(seller), item, word(copy));
}

/** What a sealed part, or a payload, belongs to; `copy` counts in a stock item alone. */
export function domain(
  chainId: bigint,
  market: Address,
  seller: Address,
  item: Uint8Array,
  stock: boolean,
  copy: bigint,
): Uint8Array {
  const place = [word(chainId), addressWord(market), addressWord(seller), item];
  return keccak(...place, word(stock ? 1 : 0), word(stock ? copy : 0n));
}

export function catalogueCommitment(digest: Uint8Array, root: Uint8Array): Uint8Array {
  return keccak(digest, root);
}

export function termsLeaf(terms: Terms): Uint8Array {
  return keccak(keccak(encodeStruct('Terms', terms)));
}

export function partLeaf(leaf: PartLeaf): Uint8Array {
  const head = [word(leaf.copy), word(leaf.index), addressWord(leaf.deliverer)];
  return keccak(keccak(...head, leaf.commitment, leaf.secretHash, leaf.salt));
}

export function keysHash(keys: readonly Uint8Array[]): Uint8Array {
  return keccak(...keys);
}

export function escrowHash(escrow: Escrow): Uint8Array {
  return keccak(encodeStruct('Escrow', escrow));
}

/** A sale's word keeps the first 24 bytes. */
export function saleHash(sale: Sale): Uint8Array {
  return keccak(encodeStruct('Sale', sale));
}

/** What one part earns, in wei. */
export function feeOf(terms: Terms): bigint {
  return terms.commission / BigInt(terms.parts);
}

/** The bond that counts: 0 where nobody arbitrates. */
export function effectiveBond(terms: Terms): bigint {
  return terms.arbitrator === ZERO_ADDRESS ? 0n : terms.bond;
}

/** R: what a purchase moves out of the seller's free stake, in wei. */
export function reserveOf(terms: Terms): bigint {
  return BigInt(terms.parts) * feeOf(terms) + terms.penalty + effectiveBond(terms);
}

/** The escrow that the contract committed to when it emitted this purchase. */
export function escrowOf(purchase: Purchase): Escrow {
  const { token, price, penalty, arbitrator } = purchase.terms;
  return {
    storeDigest: purchase.storeDigest,
    keysHash: keysHash(purchase.keys),
    token,
    price,
    penalty,
    bond: effectiveBond(purchase.terms),
    arbitrator,
  };
}

/** The sale that the contract committed to when it emitted this purchase. */
export function saleOf(purchase: Purchase): Sale {
  const { seller, buyer, purchaseBlock, purchaseTime, copy, terms } = purchase;
  const { stock, parts, threshold, partsRoot } = terms;
  return {
    seller,
    buyer,
    purchaseBlock,
    purchaseTime,
    copy,
    stock,
    parts,
    threshold,
    fee: feeOf(terms),
    partsRoot,
    escrowHash: escrowHash(escrowOf(purchase)),
  };
}

/** What a deliverer signs of one part; `freshKey` is zero for an index's first key. */
export function entry(
  copy: Uint8Array,
  sale: Uint8Array,
  leaf: Uint8Array,
  freshKey: Uint8Array,
  fragment: Uint8Array,
): Uint8Array {
  return keccak(copy, sale, leaf, freshKey, keccak(fragment));
}

// ----------------------------------------------------------------------------------------- EIP-712

const DOMAIN = concat(
  keccak(
    utf8('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'),
  ),
  keccak(utf8('DAM')),
  keccak(utf8('2')),
);
const FRAGMENTS = keccak(utf8('Fragments(bytes32[] entries)'));
const AGREEMENT = keccak(
  utf8(
    'Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,' +
      'uint256 penalty,uint256 toArbitrator,uint256 deadline)',
  ),
);

export function domainSeparator(chainId: bigint, market: Address): Uint8Array {
  return keccak(DOMAIN, word(chainId), addressWord(market));
}

function typedDigest(separator: Uint8Array, ...encoded: readonly Uint8Array[]): Uint8Array {
  return keccak(Uint8Array.of(0x19, 0x01), separator, keccak(...encoded));
}

/** What a deliverer signs of a list of deliveries. */
export function fragmentsDigest(separator: Uint8Array, entries: readonly Uint8Array[]): Uint8Array {
  return typedDigest(separator, FRAGMENTS, keccak(...entries));
}

/** What buyer and seller sign to end a sale; status and since as the view `sales` has them. */
export function agreementDigest(
  separator: Uint8Array,
  copy: Uint8Array,
  sale: Uint8Array,
  status: number,
  since: number,
  split: Split,
): Uint8Array {
  const state = [copy, sale, word(status), word(since)];
  return typedDigest(separator, AGREEMENT, ...state, encodeStruct('Split', split));
}
