// Calls, logs, refusals, sales, files, streams: chain.json.

import { describe, expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import {
  chain,
  type Row,
  raw,
  raws,
  chainRows as rows,
  storeOf,
  typed,
  usedChain,
} from '../vectors.js';

/** A value of the vectors as the core has it, by its type. */
function value(type: dam.Type, plain: unknown): dam.Value {
  switch (type.kind) {
    case 'uint':
      return type.bits <= 48 ? Number(plain) : BigInt(plain as string);
    case 'list':
      return (plain as unknown[]).map((one) => value(type.of, one));
    case 'struct':
      return values(type.fields, plain as Row);
    case 'bytes':
    case 'fixed':
    case 'words':
      return raw(plain as string);
    default:
      return plain as dam.Value;
  }
}

function values(fields: readonly dam.Field[], plain: Row): Record<string, dam.Value> {
  return Object.fromEntries(fields.map(({ name, type }) => [name, value(type, plain[name])]));
}

const MARKET = rows('event')[0]?.address;
const asLog = ({ address, topics, data }: Row) => ({ address, topics, data });

it.each(rows('call'))('call $function', (row) => {
  const { inputs } = dam.functions.get(row.function) as dam.Signature;
  const args = values(inputs, row.args);
  expect(dam.toHex(dam.encodeCall(row.function, args))).toBe(row.calldata);
  const read = dam.decodeFields(inputs, raw(row.calldata).slice(4));
  if (args.evidence && typeof args.evidence === 'string') args.evidence = dam.utf8(args.evidence);
  expect(read).toEqual(args);
});

it.each(rows('event'))('event $event', (row) => {
  const found = dam.decodeLog(asLog(row), MARKET);
  const { inputs } = dam.events.get(row.topics[0]) as dam.Signature;
  expect(found).toEqual({ name: row.event, args: values(inputs, row.args) });
  expect(dam.topics.get(row.event)).toBe(row.topics[0]);
  const part = dam.fragmentOf(found);
  const parts = ['FragmentDelivered', 'FragmentSupplied'];
  expect(part !== undefined).toBe(parts.includes(row.event));
  if (part) {
    expect(part.fragment.length).toBe(80);
    expect(part.by).toBe(row.args.by ?? row.args.seller);
    expect(part.supplied).toBe(row.event === 'FragmentSupplied');
  }
});

it.each(rows('refusedLog'))('refused: $event with $why', (row) => {
  expect(() => dam.decodeLog(asLog(row), MARKET)).toThrow(dam.Malformed);
});

it.each(rows('revert'))('revert $error', (row) => {
  const found = dam.decodeRevert(raw(row.data));
  expect(found.name).toBe(row.error);
  if (row.error === 'unknown' || !row.args) return;
  const entry = [...dam.errors.values()].find(({ name }) => name === row.error);
  const args = entry ? values(entry.inputs, row.args) : row.args;
  if (row.error === 'Panic') args.code = BigInt(args.code as string);
  expect(found.args).toEqual(args);
});

const state = (row: Row): dam.SaleState => ({
  status: Number(row.status),
  delivered: Number(row.delivered),
  since: Number(row.since),
  rated: row.rated ?? false,
  marked: row.marked ?? false,
  commitment: raw(row.commitment ?? '0x'),
});

it.each(rows('saleWord'))('saleWord', (row) => {
  expect(dam.unpackSale(raw(row.word))).toEqual(state(row));
  expect(dam.toHex(dam.packSale(state(row)))).toBe(row.word);
});

it.each(rows('marksWord'))('marksWord', (row) => {
  const { punished, cleared, freshKey } = dam.unpackMarks(raw(row.word));
  expect([punished, cleared]).toEqual([Number(row.punished), Number(row.cleared)]);
  expect(dam.toHex(freshKey)).toBe(row.freshKey);
});

it.each(rows('clocks'))('clocks', (row) => {
  const sale = typed<dam.Sale>(row.sale);
  const windows = typed<dam.Windows>(row.windows);
  const marks = { ...dam.NO_MARKS, punished: Number(row.punished), cleared: Number(row.cleared) };
  expect(dam.deadlinesOf(sale, state(row), windows)).toEqual(typed(row.deadlines));
  const all = dam.actionsOf(sale, typed(row.escrow), state(row), marks, windows);
  // Ratings are no clock's affair: Python's list has none.
  const actions = all.filter(({ name }) => name !== 'rate');
  const wanted = row.actions.map((one: Row) => ({
    name: one.name,
    who: one.who,
    first: BigInt(one.first),
    last: one.last === null ? null : BigInt(one.last),
    firstBlock: BigInt(one.firstBlock),
  }));
  expect(actions).toEqual(wanted);
  for (const at of row.at) {
    const open = dam.doable(actions, { block: BigInt(at.block), time: BigInt(at.time) });
    expect(open.map(({ who, name }) => `${who} ${name}`)).toEqual(at.doable);
  }
});

it.each(rows('wholePurchase'))('wholePurchase', (row) => {
  const events = row.logs.map((log: Row) => dam.decodeLog(asLog(log), row.market));
  const bought = dam.purchaseOf(events[0]) as dam.Purchase;
  expect(dam.toHex(dam.saleHash(dam.saleOf(bought)))).toBe(row.saleHash);
  const chainId = BigInt(row.chainId);
  const seed = new dam.BuyerSeed(raw(row.buyerSeed));
  const secrets = seed.purchase(chainId, row.market, bought.copyId, Number(row.attempt));
  const own = [0, 1, 2].map((index) => secrets.partSecret(index));
  expect(own.map(dam.publicKey)).toEqual(bought.keys);
  const shares = new Map<number, Uint8Array>();
  const junk: number[] = [];
  events.forEach((event: dam.DecodedEvent, number: number) => {
    if (event.name === 'JunkProved') {
      own[event.args.index as number] = secrets.freshSecret();
      expect(dam.publicKey(secrets.freshSecret())).toEqual(event.args.freshKey);
    }
    const part = dam.fragmentOf(event);
    if (!part) return;
    try {
      const secret = own[part.index] as Uint8Array;
      shares.set(part.index, dam.openShare(part.fragment, secret, part.commitment));
    } catch (error) {
      expect(error).toBeInstanceOf(dam.Malformed);
      junk.push(number);
    }
  });
  expect(junk).toEqual(row.junk.map(Number));
  const key = dam.join(shares, bought.terms.threshold);
  expect(dam.toHex(key)).toBe(row.contentKey);
  const { seller, copy, terms } = bought;
  const domain = dam.domain(chainId, row.market, seller, terms.itemId, terms.stock, copy);
  const payload = dam.payloadFromJson(row.payload) as dam.InlinePayload;
  expect(dam.toHex(dam.openInline(key, domain, payload))).toBe(row.good);
});

it.each(rows('interpolation'))('interpolation', (row) => {
  const shares = row.shares.map((share: string, i: number) => [Number(row.indices[i]), raw(share)]);
  expect(dam.toHex(dam.join(new Map(shares), Number(row.k)))).toBe(row.secret);
});

it.each(rows('refusedInterpolation'))('no interpolation', (row) => {
  const shares = row.shares.map((share: string, i: number) => [Number(row.indices[i]), raw(share)]);
  expect(() => dam.join(new Map(shares), Number(row.k))).toThrow(dam.Malformed);
});

it.each(rows('skippedSecret'))('skippedSecret', (row) => {
  const secrets = new dam.PurchaseSecret(raw(row.purchaseSecret));
  expect(dam.toHex(secrets.partSecret(Number(row.index)))).toBe(row.secret);
  expect(dam.hasHalfSizePair(raw(row.skipped))).toBe(false);
});

it.each(rows('junkFragment'))('junk: $why', (row) => {
  const given = [raw(row.fragment), raw(row.secret), raw(row.commitment)] as const;
  expect(() => dam.openShare(...given)).toThrow(dam.Malformed);
});

it.each(rows('bigStream'))('bigStream of $size', (row) => {
  const payload = dam.payloadFromJson(row.document) as dam.StreamPayload;
  const size = Number(row.size);
  const stream = new dam.SecretStream(raw(row.contentKey), payload.header);
  const opener = new dam.StreamOpener(raw(row.contentKey), raw(row.domain), payload);
  const associated = dam.concat(dam.utf8('DAM payload 1'), raw(row.domain));
  payload.chunks.forEach((cid, i) => {
    const chunk = new Uint8Array(Math.min(dam.CHUNK_BYTES, size - i * dam.CHUNK_BYTES));
    chunk.fill(raw(row.byte)[0] as number);
    const last = i + 1 === payload.chunks.length;
    const block = stream.push(chunk, associated, last ? dam.FINAL : dam.MESSAGE);
    expect(block.length).toBe(Number(row.blockSizes[i]));
    expect(dam.Cid.of('raw', block).toString()).toBe(cid.toString());
    expect(dam.equal(opener.push(block), chunk)).toBe(true);
  });
  opener.finish();
});

it.each(rows('refusedStream'))('a stream is refused: $why', (row) => {
  const payload = dam.payloadFromJson(row.document) as dam.StreamPayload;
  const opener = new dam.StreamOpener(raw(row.contentKey), raw(row.domain), payload);
  expect(() => {
    for (const block of raws(row.blocks)) opener.push(block);
    opener.finish();
  }).toThrow(dam.Malformed);
});

it.each(rows('refusedPayload'))('an inline payload is refused: $why', (row) => {
  const payload = { kind: 'inline', box: raw(row.box) } as const;
  expect(() => dam.openInline(raw(row.contentKey), raw(row.domain), payload)).toThrow(
    dam.Malformed,
  );
});

describe('files of the command line', () => {
  it.each(rows('keyFile'))('keyFile of $memory bytes', (row) => {
    const file = dam.utf8(row.file);
    const seed = dam.openSeedFile(file, row.kind, row.passphrase);
    expect(dam.toHex(seed)).toBe(row.seed);
    // Stretching once more would show nothing that opening did not.
    if (Number(row.memory) > 1 << 20) return;
    const given = { passes: Number(row.passes), memory: Number(row.memory) };
    const options = { ...given, salt: raw(row.salt), nonce: raw(row.nonce) };
    expect(dam.sealSeedFile(seed, row.kind, row.passphrase, options)).toEqual(file);
  });

  it.each(rows('purchaseRecord'))('purchaseRecord', (row) => {
    const record = dam.decodeRecord(dam.utf8(row.file));
    expect(new TextDecoder().decode(dam.encodeRecord(record))).toBe(row.file);
    expect([record.item, record.failed]).toEqual([row.item, row.failed]);
    expect(record.attempt).toBe(Number(row.attempt));
    expect(record.keys.map(dam.toHex)).toEqual(row.keys);
  });

  it.each(rows('refusedFile'))('a file is refused: $of, $why', (row) => {
    const file = dam.utf8(row.file);
    expect(() =>
      row.of === 'keyFile'
        ? dam.openSeedFile(file, 'buyer-seed', row.passphrase)
        : dam.decodeRecord(file),
    ).toThrow(dam.Malformed);
  });
});

it.each(rows('document'))('document: $name', async (row) => {
  const { blocks, place } = storeOf(row);
  const get = async (cid: dam.Cid) => blocks.get(cid.toString()) ?? raw('0x');
  const reading = dam.readStore(get, place, { whole: true });
  if (!row.taken) await expect(reading).rejects.toThrow(dam.Malformed);
  else {
    const [item] = (await reading).items as [dam.Item];
    expect(item.sections.map(({ fault }) => fault !== undefined)).toEqual([row.brokenSection]);
    const section = dam.readSection(get, item, 0n);
    if (row.brokenSection) await expect(section).rejects.toThrow(dam.Malformed);
    else expect((await section).payloads).toEqual([dam.payloadOf(item, 24n)]);
  }
});

it.each(rows('amount'))('amount $text', (row) => {
  expect(dam.formatUnits(BigInt(row.amount), Number(row.decimals))).toBe(row.text);
  expect(dam.parseUnits(row.text, Number(row.decimals))).toBe(BigInt(row.amount));
});

it.each(rows('refusedAmount'))('no amount: $text', (row) => {
  expect(() => dam.parseUnits(row.text, Number(row.decimals))).toThrow(dam.Malformed);
});

it('has a test for every kind of vector', () => {
  const kinds = Object.keys(chain).filter((kind) => kind !== 'about');
  expect(kinds.filter((kind) => !usedChain.has(kind))).toEqual([]);
});
