import { expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import { raw, raws, rows, storeOf, typed, used, vectors } from '../vectors.js';

it.each(rows('itemId'))('itemId', (row) => {
  expect(dam.toHex(dam.itemId(row.name))).toBe(row.itemId);
});

it.each(rows('copyId'))('copyId', (row) => {
  expect(dam.toHex(dam.copyId(row.seller, raw(row.itemId), BigInt(row.copy)))).toBe(row.copyId);
});

it.each(rows('domain'))('domain', (row) => {
  const place = [BigInt(row.chainId), row.market, row.seller, raw(row.itemId)] as const;
  expect(dam.toHex(dam.domain(...place, row.stock, BigInt(row.copy)))).toBe(row.domain);
});

it.each(rows('termsLeaf'))('termsLeaf', (row) => {
  expect(dam.toHex(dam.termsLeaf(typed(row.terms)))).toBe(row.leaf);
});

it.each(rows('partLeaf'))('partLeaf', (row) => {
  expect(dam.toHex(dam.partLeaf(typed(row.part)))).toBe(row.leaf);
});

it.each(rows('catalogueCommitment'))('catalogueCommitment', (row) => {
  expect(dam.toHex(dam.catalogueCommitment(raw(row.digest), raw(row.root)))).toBe(row.commitment);
});

it.each(rows('merkle'))('merkle', (row) => {
  const tree = new dam.MerkleTree(raws(row.leaves));
  expect(dam.toHex(tree.root)).toBe(row.root);
  for (const { leaf, proof } of row.proofs) {
    expect(tree.proof(raw(leaf)).map(dam.toHex)).toEqual(proof);
    expect(dam.verifyProof(raw(row.root), raw(leaf), raws(proof))).toBe(true);
    expect(dam.verifyProof(raw(leaf).reverse(), raw(leaf), raws(proof))).toBe(false);
  }
});

it.each(rows('purchase'))('purchase', (row) => {
  const purchase: dam.Purchase = {
    copyId: raw(row.copyId),
    seller: row.seller,
    buyer: row.buyer,
    storeDigest: raw(row.storeDigest),
    copy: BigInt(row.copy),
    purchaseBlock: BigInt(row.purchaseBlock),
    purchaseTime: BigInt(row.purchaseTime),
    terms: typed(row.terms),
    keys: raws(row.keys),
  };
  const escrow = dam.escrowOf(purchase);
  const sale = dam.saleOf(purchase);
  expect(escrow).toEqual(typed(row.escrow));
  expect(sale).toEqual(typed(row.sale));
  expect(dam.toHex(dam.escrowHash(escrow))).toBe(row.escrowHash);
  expect(dam.toHex(dam.saleHash(sale))).toBe(row.saleHash);
  expect(dam.toHex(dam.saleHash(sale).slice(0, 24))).toBe(row.commitment);
});

it.each(rows('escrowAndSale'))('escrowAndSale', (row) => {
  expect(dam.toHex(dam.escrowHash(typed(row.escrow)))).toBe(row.escrowHash);
  expect(dam.toHex(dam.saleHash(typed(row.sale)))).toBe(row.saleHash);
});

it.each(rows('entry'))('entry', (row) => {
  const words = [raw(row.copyId), dam.saleHash(typed(row.sale)), dam.partLeaf(typed(row.part))];
  const [copy, sale, leaf] = words as [Uint8Array, Uint8Array, Uint8Array];
  const found = dam.entry(copy, sale, leaf, raw(row.freshKey), raw(row.fragment));
  expect(dam.toHex(found)).toBe(row.entry);
});

it.each(rows('fragmentsDigest'))('fragmentsDigest', (row) => {
  const separator = dam.domainSeparator(BigInt(row.chainId), row.market);
  expect(dam.toHex(separator)).toBe(row.domainSeparator);
  expect(dam.toHex(dam.fragmentsDigest(separator, raws(row.entries)))).toBe(row.digest);
});

it.each(rows('agreementDigest'))('agreementDigest', (row) => {
  const separator = dam.domainSeparator(BigInt(row.chainId), row.market);
  const state = [Number(row.status), Number(row.since)] as const;
  const sale = [raw(row.copyId), raw(row.saleHash)] as const;
  const found = dam.agreementDigest(separator, ...sale, ...state, typed(row.split));
  expect(dam.toHex(found)).toBe(row.digest);
});

it.each(rows('possession'))('possession', (row) => {
  const place = [BigInt(row.chainId), row.market, row.operator] as const;
  const seed = raw(row.seed);
  expect(dam.toHex(dam.possessionMessage(...place))).toBe(row.message);
  expect(dam.toHex(dam.announcedKey(seed))).toBe(row.key);
  expect(dam.toHex(dam.provePossession(seed, ...place))).toBe(row.possession);
  expect(dam.toHex(dam.sealingSecret(seed))).toBe(row.sealingSecret);
  const key = raw(row.key);
  expect(dam.toHex(dam.sealingKey(key, raw(row.possession), ...place))).toBe(row.sealingKey);
  const forged = raw(row.possession);
  forged[3] = (forged[3] as number) ^ 1;
  expect(() => dam.sealingKey(key, forged, ...place)).toThrow(dam.Malformed);
});

it.each(rows('sharing'))('sharing', (row) => {
  const [k, n] = [Number(row.k), Number(row.n)];
  const shares = dam.split(raw(row.secret), k, n, raws(row.coefficients));
  expect(shares.map(dam.toHex)).toEqual(row.shares);
  expect(shares.map((share) => dam.toHex(dam.keccak(share)))).toEqual(row.commitments);
  const last = new Map(shares.map((share, i) => [i, share] as const).slice(n - k));
  expect(dam.toHex(dam.join(last, k))).toBe(row.secret);
  expect(dam.toHex(dam.keccak(raw(row.secret)))).toBe(row.secretHash);
});

it.each(rows('sellerSeed'))('sellerSeed', (row) => {
  const seed = new dam.SellerSeed(raw(row.seed));
  const place = {
    chainId: BigInt(row.chainId),
    market: row.market,
    itemId: raw(row.itemId),
    copy: BigInt(row.copy),
    generation: BigInt(row.generation),
  };
  const [k, n] = [Number(row.k), Number(row.n)];
  expect(dam.toHex(seed.contentKey(place))).toBe(row.contentKey);
  expect(seed.coefficients(place, k, n).map(dam.toHex)).toEqual(row.coefficients);
  expect(seed.shares(place, k, n).map(dam.toHex)).toEqual(row.shares);
  expect(row.salts.map((_: string, i: number) => dam.toHex(seed.salt(place, i)))).toEqual(
    row.salts,
  );
});

it.each(rows('buyerSeed'))('buyerSeed', (row) => {
  const seed = new dam.BuyerSeed(raw(row.seed));
  const place = [BigInt(row.chainId), row.market, raw(row.copyId)] as const;
  const purchase = seed.purchase(...place, Number(row.attempt));
  expect(dam.toHex(purchase.reveal())).toBe(row.purchaseSecret);
  const secrets = row.partSecrets.map((_: string, i: number) => purchase.partSecret(i));
  expect(secrets.map(dam.toHex)).toEqual(row.partSecrets);
  expect(secrets.map((one: Uint8Array) => dam.toHex(dam.publicKey(one)))).toEqual(row.partKeys);
  expect(dam.toHex(purchase.freshSecret())).toBe(row.freshSecret);
});

it.each(rows('sealedPart'))('sealedPart', (row) => {
  const part = typed<dam.Part>(row.part);
  const shared = dam.sharedKey(raw(row.sealingSecret), raw(row.delivererKey));
  expect(dam.toHex(shared)).toBe(row.sharedKey);
  expect(dam.toHex(dam.sharedKey(raw(row.delivererSecret), raw(row.sealingKey)))).toBe(
    row.sharedKey,
  );
  expect(dam.toHex(dam.encodePart(part))).toBe(row.plaintext);
  expect(dam.toHex(dam.partTag(shared, part.domain))).toBe(row.tag);
  expect(dam.toHex(dam.sealPart(shared, part, raw(row.nonce)))).toBe(row.sealed);
  expect(dam.openPart(shared, raw(row.sealed))).toEqual(part);
  expect(() => dam.openPart(raw(row.nonce + '00'.repeat(8)), raw(row.sealed))).toThrow(
    dam.NotForMe,
  );
});

it.each(rows('plainSealedPart'))('plainSealedPart', (row) => {
  const ephemeral = raw(row.ephemeralSecret);
  const sealed = dam.sealBox(raw(row.plaintext), raw(row.delivererKey), ephemeral);
  expect(dam.toHex(sealed)).toBe(row.sealed);
  expect(dam.openPlainPart(raw(row.delivererSecret), sealed)).toEqual(typed(row.part));
  expect(() => dam.openPlainPart(ephemeral, sealed)).toThrow(dam.NotForMe);
});

it.each(rows('fragment'))('fragment', (row) => {
  const fragment = dam.sealFragment(raw(row.share), raw(row.key), raw(row.ephemeralSecret));
  expect(dam.toHex(fragment)).toBe(row.fragment);
  expect(dam.toHex(dam.openFragment(fragment, raw(row.secret)))).toBe(row.share);
  expect(dam.toHex(dam.keccak(raw(row.share)))).toBe(row.commitment);
});

it.each(rows('refusedPublicKey'))('refusedPublicKey', (row) => {
  expect(() => dam.checkPublicKey(raw(row.key))).toThrow(row.reason);
  expect(() =>
    dam.openFragment(dam.concat(raw(row.key), new Uint8Array(48)), raw(row.key)),
  ).toThrow(row.reason);
});

it.each(rows('inlinePayload'))('inlinePayload', (row) => {
  const payload = dam.payloadFromJson(row.document);
  if (payload.kind !== 'inline') throw new Error('inline');
  const good = dam.openInline(raw(row.contentKey), raw(row.domain), payload);
  expect(dam.toHex(good)).toBe(row.good);
  expect(dam.payloadToJson(payload)).toEqual(row.document);
});

it.each(rows('streamPayload'))('streamPayload', (row) => {
  const payload = dam.payloadFromJson(row.document);
  if (payload.kind !== 'stream') throw new Error('stream');
  expect(dam.payloadToJson(payload)).toEqual(row.document);
  const opener = new dam.StreamOpener(raw(row.contentKey), raw(row.domain), payload);
  const blocks = raws(row.blocks);
  blocks.forEach((block, i) => {
    expect(payload.chunks[i]?.names(block)).toBe(true);
  });
  const good = blocks.map((block) => opener.push(block));
  opener.finish();
  expect(dam.toHex(dam.concat(...good))).toBe(row.good);
  const associated = raw(row.associatedData);
  const stream = new dam.SecretStream(raw(row.contentKey), raw(row.header));
  good.forEach((chunk, i) => {
    const tag = i + 1 === good.length ? dam.FINAL : dam.MESSAGE;
    expect(dam.toHex(stream.push(chunk, associated, tag))).toBe(row.blocks[i]);
  });
});

it.each(rows('cid'))('cid', (row) => {
  const cid = dam.Cid.of(row.codec, raw(row.data));
  expect(cid.toString()).toBe(row.cid);
  expect(dam.toHex(cid.digest)).toBe(row.digest);
  expect(dam.Cid.parse(row.cid)).toEqual(cid);
});

it.each(rows('block'))('block: $name', (row) => {
  const data = raw(row.data);
  expect(dam.Cid.of('dag-json', data).toString()).toBe(row.cid);
  if (row.taken) expect(dam.encodeJson(dam.decodeBlock(data))).toEqual(data);
  else expect(() => dam.decodeBlock(data)).toThrow(dam.Malformed);
});

it.each(rows('text'))('text: $kind $value', (row) => {
  const readers: Record<string, (value: string) => string> = {
    id: (value) => dam.identifier(value, 'x'),
    line: (value) => dam.line(value, 'x'),
    text: (value) => dam.text(value, 'x', 4096),
  };
  const read = readers[row.kind] as (value: string) => string;
  if (row.taken) expect(read(row.value)).toBe(row.value);
  else expect(() => read(row.value)).toThrow(dam.Malformed);
});

it.each(rows('store'))('store', async (row) => {
  const { blocks, place } = storeOf(row);
  const get = async (cid: dam.Cid) => blocks.get(cid.toString()) as Uint8Array;
  const store = await dam.readStore(get, place, { whole: true });
  const [item] = store.items as [dam.Item];
  expect(store.item(dam.itemId(item.name))).toBe(item);
  const leaf = dam.termsLeaf(item.terms);
  expect(dam.verifyProof(place.root, leaf, store.termsProof(item))).toBe(true);
  const index = Number(row.delivererLeaf.index);
  expect(dam.partProofs(item, 24n)[index]?.map(dam.toHex)).toEqual(row.delivererProof);
  const shares = new Map(raws(row.shares).map((share, i) => [i, share]));
  const key = dam.join(shares, item.terms.threshold);
  expect(dam.toHex(key)).toBe(row.contentKey);
  const domain = dam.domain(
    BigInt(row.chainId),
    row.market,
    row.seller,
    item.terms.itemId,
    false,
    0n,
  );
  const payload = dam.payloadOf(item, 24n);
  if (payload.kind !== 'inline') throw new Error('inline');
  expect(dam.toHex(dam.openInline(key, domain, payload))).toBe(row.good);
  const parts = await dam.readSection(get, item, 3n);
  const secret = dam.sealingSecret(raw(row.delivererSeed));
  const shared = dam.sharedKey(secret, parts.sealingKey as Uint8Array);
  const tag = dam.partTag(shared, domain);
  const sealed = parts.encryptedParts.find((part) => dam.equal(part.slice(0, 16), tag));
  expect(dam.toHex(dam.openPart(shared, sealed as Uint8Array).share)).toBe(row.share);
  const other = { ...place, root: raw(row.digest) };
  await expect(dam.readStore(get, other)).rejects.toThrow(dam.Malformed);
  const chain = { ...place, chainId: 1 };
  await expect(dam.readStore(get, chain)).rejects.toThrow(dam.Malformed);
});

it('has a test for every kind of vector', () => {
  const kinds = Object.keys(vectors).filter((kind) => kind !== 'about');
  expect(kinds.filter((kind) => !used.has(kind))).toEqual([]);
});
