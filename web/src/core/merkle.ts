// Merkle trees of OpenZeppelin's StandardMerkleTree (protocol, section 2.2).

import { compare, equal, toHex } from './bytes.js';
import { Malformed } from './errors.js';
import { keccak } from './hash.js';

export const ZERO32 = new Uint8Array(32);

function pair(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compare(a, b) < 0 ? keccak(a, b) : keccak(b, a);
}

/** A tree over 32-byte leaf hashes, whose order does not matter. */
export class MerkleTree {
  /** The root first, the children of node i at 2i + 1 and 2i + 2. */
  private readonly nodes: Uint8Array[];
  private places: Map<string, number> | undefined;

  constructor(leaves: readonly Uint8Array[]) {
    if (leaves.some((leaf) => leaf.length !== 32)) throw new Malformed('a Merkle leaf is 32 bytes');
    const inner = Math.max(leaves.length - 1, 0);
    const sorted = [...leaves].sort((a, b) => compare(b, a));
    this.nodes = [...new Array<Uint8Array>(inner), ...sorted];
    for (let i = inner - 1; i >= 0; i--) {
      this.nodes[i] = pair(
        this.nodes[2 * i + 1] as Uint8Array,
        this.nodes[2 * i + 2] as Uint8Array,
      );
    }
  }

  /** Zero for a tree without leaves, which proves nothing. */
  get root(): Uint8Array {
    return this.nodes[0] ?? ZERO32;
  }

  /** The siblings from the leaf up. */
  proof(leaf: Uint8Array): Uint8Array[] {
    const first = this.nodes.length >> 1;
    this.places ??= new Map(this.nodes.slice(first).map((node, i) => [toHex(node), first + i]));
    let place = this.places.get(toHex(leaf));
    if (place === undefined) throw new Malformed('the leaf is not in the Merkle tree');
    const proof = [];
    while (place) {
      proof.push(this.nodes[place % 2 ? place + 1 : place - 1] as Uint8Array);
      place = (place - 1) >> 1;
    }
    return proof;
  }
}

/** Whether the proof leads from the leaf to the root. */
export function verifyProof(
  root: Uint8Array,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  return equal(proof.reduce(pair, leaf), root);
}
