// A store's document: from untrusted blocks to items whose terms the chain vouches for (section 4).
//
// One broken rule in root, pages, details or goods refuses the store; a broken page of parts refuses
// its section alone, or a seller could show one to one reader and hide it from another.

import {
  type About,
  DETAIL_KEYS,
  PAGE_KEYS,
  type Range,
  readAbout,
  readMetadata,
  readRanges,
} from './about.js';
import { type Address, ZERO_ADDRESS } from './address.js';
import { equal, toHex } from './bytes.js';
import { Cid, MAX_BLOCK_BYTES } from './cid.js';
import { Malformed } from './errors.js';
import {
  address,
  amount,
  array,
  boolean,
  bytes32,
  hexadecimal,
  integer,
  isObject,
  type JsonObject,
  link,
  record,
} from './fields.js';
import { itemId, termsLeaf } from './hashing.js';
import { decodeBlock, type Json, MAX_INTEGER } from './json.js';
import { MerkleTree, ZERO32 } from './merkle.js';
import { type Payload, payloadFromJson } from './payload.js';
import { PLAIN_SEALED_BYTES, SEALED_BYTES } from './sealing.js';
import { MAX_PARTS } from './shamir.js';
import { identifier, line } from './text.js';
import type { Terms } from './types.js';
import { checkPublicKey } from './x25519.js';

export const DOCUMENT_VERSION = 2;
const MAX_SUPPLY = 2n ** 64n - 1n;

/** Over one of them a store is refused: they bound a reader's work. */
export const LIMITS = {
  pages: 1024,
  items: 10_000,
  partPages: 4096,
  parts: 50_000,
  plainParts: 1000,
  bytes: 64 << 20,
};
export type Limits = typeof LIMITS;

/** Where blocks come from; whoever it is, what comes is hashed again here. */
export type GetBlock = (cid: Cid) => Promise<Uint8Array>;

/** The parts of consecutive copies. */
export interface Parts {
  /** None: each part is a sealed box of its own. */
  sealingKey?: Uint8Array;
  encryptedParts: Uint8Array[];
  /** Copy by copy, n each, by index. */
  leaves: MerkleTree;
  partLeaves: Uint8Array[];
  payloads: Payload[];
}

export interface Section {
  firstCopy: bigint;
  copies: bigint;
  root: Uint8Array;
  /** Where its parts stand on a page of their own. */
  page?: Cid;
  /** Where they stand in the document, or were read. */
  parts?: Parts;
  /** Why it cannot be used, where it was read and is broken. */
  fault?: string;
}

export interface Item {
  /** The id, as the document has it. */
  name: string;
  title: string;
  terms: Terms;
  about: About;
  metadata: JsonObject;
  /** Copies that are not offered any more. */
  withdrawn: Range[];
  sections: Section[];
}

/** A store, checked against its CIDs and the chain's root. */
export class Store {
  private readonly tree: MerkleTree;
  private readonly byId: ReadonlyMap<string, Item>;

  constructor(
    readonly name: string,
    readonly place: StorePlace,
    readonly items: readonly Item[],
  ) {
    this.tree = new MerkleTree(items.map(({ terms }) => termsLeaf(terms)));
    this.byId = new Map(items.map((item) => [toHex(item.terms.itemId), item]));
    if (this.byId.size !== items.length) throw new Malformed('two items have the same id');
    if (!equal(this.tree.root, place.root)) {
      throw new Malformed('the terms are not those of the catalogue root on chain');
    }
  }

  /** By the hash of its id. */
  item(id: Uint8Array): Item | undefined {
    return this.byId.get(toHex(id));
  }

  /** As `buyItem` takes it. */
  termsProof(item: Item): Uint8Array[] {
    return this.tree.proof(termsLeaf(item.terms));
  }
}

export interface StorePlace {
  chainId: number;
  market: Address;
  seller: Address;
  digest: Uint8Array;
  /** Catalogue root, as the chain has it. */
  root: Uint8Array;
}

/**
 * Fetches a store and checks root, pages, details and goods. Pages of parts are read by
 * `readSection`, or all at once with `whole`.
 *
 * @throws Malformed a rule is broken; what `get` throws goes through
 */
export async function readStore(
  get: GetBlock,
  place: StorePlace,
  options: { whole?: boolean; limits?: Partial<Limits> } = {},
): Promise<Store> {
  const reader = new Reader(get, { ...LIMITS, ...options.limits });
  const root = readRoot(await reader.decode(new Cid('dag-json', place.digest)));
  if (
    root.chainId !== place.chainId ||
    root.market !== place.market ||
    root.seller !== place.seller
  ) {
    throw new Malformed('the document is of another chain, market or seller');
  }
  const items = root.pages ? await reader.pages(root.pages) : reader.count(readWhole(root.own));
  const store = new Store(root.name, place, items);
  if (options.whole) {
    for (const item of items) {
      for (const section of item.sections) await reader.section(item, section);
    }
  }
  return store;
}

/** Reads the section that serves a copy, if it was not read before. */
export async function readSection(get: GetBlock, item: Item, copy: bigint): Promise<Parts> {
  const section = sectionOf(item, copy);
  if (!section.parts && !section.fault) await new Reader(get, LIMITS).section(item, section);
  if (!section.parts) throw new Malformed(section.fault ?? 'the section is broken');
  return section.parts;
}

export function leafCopy(item: Item, copy: bigint): bigint {
  return item.terms.stock ? copy : 0n;
}

export function sectionOf(item: Item, copy: bigint): Section {
  const wanted = leafCopy(item, copy);
  const section = item.sections.find(
    ({ firstCopy, copies }) => firstCopy <= wanted && wanted < firstCopy + copies,
  );
  if (copy < 0n || copy >= item.terms.supply || !section) {
    throw new Malformed('the item has no such copy');
  }
  return section;
}

/** The encrypted good of a copy, from its section that was read. */
export function payloadOf(item: Item, copy: bigint): Payload {
  const section = sectionOf(item, copy);
  if (!section.parts) throw new Malformed(section.fault ?? 'the section was not read');
  return section.parts.payloads[Number(leafCopy(item, copy) - section.firstCopy)] as Payload;
}

/** Merkle proofs under partsRoot of a copy's n leaves, by index. */
export function partProofs(item: Item, copy: bigint): Uint8Array[][] {
  const section = sectionOf(item, copy);
  const { parts } = section;
  if (!parts) throw new Malformed(section.fault ?? 'the section was not read');
  const above = rootsOf(item.sections).proof(section.root);
  const first = Number(leafCopy(item, copy) - section.firstCopy) * item.terms.parts;
  return parts.partLeaves
    .slice(first, first + item.terms.parts)
    .map((leaf) => [...parts.leaves.proof(leaf), ...above]);
}

export function isWithdrawn({ withdrawn }: Item, copy: bigint): boolean {
  return withdrawn.some(([first, last]) => first <= copy && copy <= last);
}

function rootsOf(sections: readonly Section[]): MerkleTree {
  const roots = sections.map(({ root }) => root);
  if (new Set(roots.map(toHex)).size !== roots.length) {
    throw new Malformed('two sections have the same root');
  }
  return new MerkleTree(roots);
}

/** Fetches within one store's limits. */
class Reader {
  private bytes = 0;
  private items = 0;
  private partPages = 0;
  private parts = 0n;
  private plainParts = 0n;

  constructor(
    private readonly get: GetBlock,
    private readonly limits: Limits,
  ) {}

  async decode(cid: Cid): Promise<Json> {
    return decodeBlock(await this.block(cid));
  }

  private async block(cid: Cid): Promise<Uint8Array> {
    const block = await this.get(cid);
    if (!cid.names(block)) throw new Malformed('bytes that are not the block of their CID');
    this.bytes += block.length;
    if (this.bytes > this.limits.bytes) throw new Malformed('the store has too many bytes');
    return block;
  }

  async pages(value: Json): Promise<Item[]> {
    const links = array(value, 'pages', this.limits.pages, (one) =>
      link(one, 'one of the pages', 'dag-json'),
    );
    distinct(links);
    const items: Item[] = [];
    for (const cid of links) {
      items.push(...this.count(await this.page(await this.decode(cid))));
    }
    return items;
  }

  /** A page, with its details and goods. */
  private async page(value: Json): Promise<Item[]> {
    const page = record(value, 'page', ['items', 'details', 'goods']);
    const heads = array(page.items, 'items', MAX_BLOCK_BYTES, (one) =>
      record(one, 'item', TERMS_KEYS, [...PAGE_KEYS, 'withdrawn']),
    );
    const details = record(
      await this.decode(link(page.details, 'the details of a page', 'dag-json')),
      'details',
      ['items'],
    );
    const goods = record(
      await this.decode(link(page.goods, 'the goods of a page', 'dag-json')),
      'goods',
      ['items'],
      ['sealingKey'],
    );
    const words = array(details.items, 'details', MAX_BLOCK_BYTES, (one) =>
      record(one, 'details', [], [...DETAIL_KEYS, 'otherMetadata']),
    );
    const key = sealingKey(goods);
    const forms = array(goods.items, 'goods', MAX_BLOCK_BYTES, (one) =>
      record(one, 'goods', isObject(one) && 'sections' in one ? ['sections'] : PART_KEYS),
    );
    if (heads.length !== words.length || heads.length !== forms.length) {
      throw new Malformed('a page has not as many details and goods as items');
    }
    return heads.map((head, i) => {
      const whole = { ...head, ...words[i], ...forms[i] };
      return readItem(whole, key);
    });
  }

  /** Takes items off the budget. */
  count(items: Item[]): Item[] {
    this.items += items.length;
    for (const { terms, sections } of items) {
      for (const { copies, page, parts } of sections) {
        const count = copies * BigInt(terms.parts);
        this.parts += count;
        if (page) this.partPages++;
        else if (!parts?.sealingKey) this.plainParts += count;
      }
    }
    if (this.items > this.limits.items) throw new Malformed('the store has too many items');
    if (this.partPages > this.limits.partPages) {
      throw new Malformed('the store has too many pages of parts');
    }
    if (this.parts > this.limits.parts) throw new Malformed('the store has too many parts');
    if (this.plainParts > this.limits.plainParts) {
      throw new Malformed('the store has too many parts without a sealing key');
    }
    return items;
  }

  /** Reads a page of parts; what is wrong with it is the section's own fault. */
  async section(item: Item, section: Section): Promise<void> {
    if (!section.page || section.parts) return;
    const block = await this.block(section.page);
    try {
      section.parts = readPartPage(decodeBlock(block), item.terms, section);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      section.fault = error.message;
    }
  }
}

function distinct(links: readonly Cid[]): void {
  if (new Set(links.map(String)).size !== links.length) throw new Malformed('a page twice');
}

// ----------------------------------------------------------------------------------------- objects

const STORE_KEYS = ['version', 'storeName', 'chainId', 'market', 'seller'];
const TERMS_KEYS = [
  'itemId',
  'title',
  'price',
  'token',
  'commission',
  'penalty',
  'bond',
  'supply',
  'stock',
  'parts',
  'threshold',
  'arbitrator',
  'partsRoot',
];
const PART_KEYS = ['encryptedParts', 'partLeaves', 'payloads'];

interface Root {
  name: string;
  chainId: number;
  market: Address;
  seller: Address;
  pages?: Json;
  /** What a store of one block has in place of links to pages. */
  own: JsonObject;
}

function readRoot(value: Json): Root {
  const apart = isObject(value) && 'pages' in value;
  const found = apart
    ? record(value, 'store', [...STORE_KEYS, 'pages'])
    : record(value, 'store', [...STORE_KEYS, 'items'], ['sealingKey']);
  integer(found.version, 'version', DOCUMENT_VERSION, DOCUMENT_VERSION);
  const { items, sealingKey: key } = found;
  return {
    name: line(found.storeName, 'storeName'),
    chainId: integer(found.chainId, 'chainId', 1, MAX_INTEGER),
    market: address(found.market, 'market'),
    seller: address(found.seller, 'seller'),
    ...(apart && { pages: found.pages as Json }),
    own: { ...(items !== undefined && { items }), ...(key !== undefined && { sealingKey: key }) },
  };
}

/** A store of one block: each item has its details and goods in it. */
function readWhole(value: Json): Item[] {
  const page = record(value, 'page', ['items'], ['sealingKey']);
  const key = sealingKey(page);
  return array(page.items, 'items', MAX_BLOCK_BYTES, (one) => readItem(one, key));
}

function sealingKey(value: JsonObject): Uint8Array | undefined {
  if (value.sealingKey === undefined) return undefined;
  const key = bytes32(value.sealingKey, 'sealingKey');
  checkPublicKey(key);
  return key;
}

function readItem(value: Json, key: Uint8Array | undefined): Item {
  const apart = isObject(value) && 'sections' in value;
  const required = [...TERMS_KEYS, ...(apart ? ['sections'] : PART_KEYS)];
  const optional = [...PAGE_KEYS, ...DETAIL_KEYS, 'withdrawn', 'otherMetadata'];
  const found = record(value, 'item', required, optional);
  const terms = readTerms(found);
  const copies = terms.stock ? terms.supply : 1n;
  const { withdrawn, otherMetadata } = found;
  return {
    name: found.itemId as string,
    title: line(found.title, 'title'),
    terms,
    about: readAbout(found),
    metadata: otherMetadata === undefined ? {} : readMetadata(otherMetadata, 'otherMetadata'),
    withdrawn: withdrawn === undefined ? [] : readRanges(withdrawn, 'withdrawn', terms.supply),
    sections: apart
      ? readSections(found.sections, terms, copies)
      : [
          {
            firstCopy: 0n,
            copies,
            root: terms.partsRoot,
            parts: readParts(found, key, terms, copies, terms.partsRoot),
          },
        ],
  };
}

function readTerms(value: JsonObject): Terms {
  const terms: Terms = {
    itemId: itemId(identifier(value.itemId, 'itemId')),
    token: address(value.token, 'token'),
    price: amount(value.price, 'price'),
    commission: amount(value.commission, 'commission'),
    penalty: amount(value.penalty, 'penalty'),
    bond: amount(value.bond, 'bond'),
    supply: amount(value.supply, 'supply', MAX_SUPPLY),
    stock: boolean(value.stock, 'stock'),
    parts: integer(value.parts, 'parts', 1, MAX_PARTS),
    threshold: integer(value.threshold, 'threshold', 1, MAX_PARTS),
    arbitrator: address(value.arbitrator, 'arbitrator'),
    partsRoot: bytes32(value.partsRoot, 'partsRoot'),
    salt: ZERO32,
  };
  if (terms.threshold > terms.parts) throw new Malformed('a threshold above the number of parts');
  if (terms.token === ZERO_ADDRESS && terms.commission > terms.price) {
    throw new Malformed('a commission over the price');
  }
  return terms;
}

function readSections(value: Json | undefined, terms: Terms, copies: bigint): Section[] {
  let next = 0n;
  const sections = array(value, 'sections', MAX_BLOCK_BYTES, (one) => {
    const found = record(one, 'a section', ['page', 'copies', 'root']);
    const page = link(found.page, 'the page of a section', 'dag-json');
    const count = BigInt(integer(found.copies, 'copies', 1, MAX_INTEGER));
    const firstCopy = next;
    next += count;
    return { firstCopy, copies: count, root: bytes32(found.root, 'root'), page };
  });
  if (next !== copies) throw new Malformed('parts for more or fewer copies than are sold');
  if (!equal(rootsOf(sections).root, terms.partsRoot)) {
    throw new Malformed('the sections are not those of partsRoot');
  }
  return sections;
}

function readPartPage(value: Json, terms: Terms, section: Section): Parts {
  const keys = ['firstCopy', 'copies', 'sealingKey', ...PART_KEYS];
  const page = record(value, 'page of parts', keys);
  const [first, copies] = [Number(section.firstCopy), Number(section.copies)];
  integer(page.firstCopy, 'firstCopy', first, first);
  integer(page.copies, 'copies', copies, copies);
  return readParts(page, sealingKey(page), terms, section.copies, section.root);
}

function readParts(
  value: JsonObject,
  key: Uint8Array | undefined,
  terms: Terms,
  copies: bigint,
  root: Uint8Array,
): Parts {
  const size = key ? SEALED_BYTES : PLAIN_SEALED_BYTES;
  const encryptedParts = array(value.encryptedParts, 'encryptedParts', MAX_BLOCK_BYTES, (one) =>
    hexadecimal(one, 'an encrypted part', size),
  );
  const partLeaves = array(value.partLeaves, 'partLeaves', MAX_BLOCK_BYTES, bytes32);
  const payloads = array(value.payloads, 'payloads', MAX_BLOCK_BYTES, (one) =>
    payloadFromJson(one),
  );
  const count = copies * BigInt(terms.parts);
  if (BigInt(encryptedParts.length) !== count || BigInt(partLeaves.length) !== count) {
    throw new Malformed('not one sealed part and one leaf for each copy and index');
  }
  if (BigInt(payloads.length) !== copies) throw new Malformed('not one payload for each copy');
  const leaves = new MerkleTree(partLeaves);
  if (!equal(leaves.root, root)) throw new Malformed('the part leaves are not those of their root');
  return { ...(key && { sealingKey: key }), encryptedParts, leaves, partLeaves, payloads };
}
