// Records that flow through: fields as in the contract's structs, numbers as `abi.ts` has them.

import type { Address } from './address.js';

export enum Status {
  None = 0,
  Purchased = 1,
  Complete = 2,
  Disputed = 3,
  Settled = 4,
  Refunded = 5,
  Resolved = 6,
  Agreed = 7,
}

export interface Terms {
  itemId: Uint8Array;
  token: Address;
  price: bigint;
  commission: bigint;
  penalty: bigint;
  bond: bigint;
  supply: bigint;
  stock: boolean;
  parts: number;
  threshold: number;
  arbitrator: Address;
  partsRoot: Uint8Array;
  salt: Uint8Array;
}

export interface PartLeaf {
  copy: bigint;
  index: number;
  deliverer: Address;
  commitment: Uint8Array;
  secretHash: Uint8Array;
  salt: Uint8Array;
}

export interface Sale {
  seller: Address;
  buyer: Address;
  purchaseBlock: bigint;
  purchaseTime: bigint;
  copy: bigint;
  stock: boolean;
  parts: number;
  threshold: number;
  fee: bigint;
  partsRoot: Uint8Array;
  escrowHash: Uint8Array;
}

export interface Escrow {
  storeDigest: Uint8Array;
  keysHash: Uint8Array;
  token: Address;
  price: bigint;
  penalty: bigint;
  bond: bigint;
  arbitrator: Address;
}

/** The arguments of `ItemPurchased`. */
export interface Purchase {
  copyId: Uint8Array;
  seller: Address;
  buyer: Address;
  storeDigest: Uint8Array;
  copy: bigint;
  purchaseBlock: bigint;
  purchaseTime: bigint;
  terms: Terms;
  keys: Uint8Array[];
}

/** `FragmentDelivered`, or `FragmentSupplied` by the seller. */
export interface Fragment {
  copyId: Uint8Array;
  by: Address;
  index: number;
  deliverer: Address;
  commitment: Uint8Array;
  secretHash: Uint8Array;
  salt: Uint8Array;
  fragment: Uint8Array;
  supplied: boolean;
}

export interface Split {
  toBuyer: bigint;
  penalty: bigint;
  toArbitrator: bigint;
  deadline: bigint;
}

/** What a deployment fixes: seconds, and wei. */
export interface Windows {
  refundSeconds: bigint;
  disputeSeconds: bigint;
  arbitrationSeconds: bigint;
}
