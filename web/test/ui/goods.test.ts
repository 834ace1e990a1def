// Goods as they are opened, shown and saved.

import { expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import type { KeptPurchase } from '../../src/keep/purchases.js';
import type { Chain } from '../../src/ui/chain.js';
import { isProgram, openGood, textOf } from '../../src/ui/goods.js';
import { words } from '../../src/ui/words.js';
import { account, bytes } from '../fixtures.js';

const SELLER = account('seller');
const key = bytes('key');
const terms = { itemId: bytes('item'), stock: true };
const purchase = { seller: SELLER, copy: 3n, terms } as unknown as dam.Purchase;

/** A file of two blocks, as a seller makes it. */
function file() {
  const header = bytes('header').slice(0, 24);
  const place = dam.domain(31337n, SELLER, SELLER, terms.itemId, true, 3n);
  const associated = dam.concat(dam.utf8('DAM payload 1'), place);
  const stream = new dam.SecretStream(key, header);
  const good = new Uint8Array(dam.CHUNK_BYTES + 5).fill(9);
  const blocks = [
    stream.push(good.slice(0, dam.CHUNK_BYTES), associated, dam.MESSAGE),
    stream.push(good.slice(dam.CHUNK_BYTES), associated, dam.FINAL),
  ];
  const chunks = blocks.map((block) => dam.Cid.of('raw', block));
  const payload: dam.StreamPayload = { kind: 'stream', header, size: good.length, chunks };
  const record = { chainId: 31337, market: SELLER, copyId: bytes('copy'), payload };
  const kept = { record } as unknown as KeptPurchase;
  const get = async (cid: dam.Cid) => blocks.find((block) => cid.names(block)) as Uint8Array;
  return { good, payload, kept, chain: { blocks: { get } } as unknown as Chain };
}

it('are put together from their blocks', async () => {
  const { good, kept, chain } = file();
  expect(dam.equal(await openGood(chain, kept, { purchase, key }), good)).toBe(true);
});

it('are refused where they are cut off, of another sale, or too large for memory', async () => {
  const { payload, kept, chain } = file();
  const open = (sale = purchase) => openGood(chain, kept, { purchase: sale, key });
  await expect(open({ ...purchase, copy: 4n })).rejects.toThrow(dam.Malformed);
  kept.record.payload = { ...payload, chunks: payload.chunks.slice(0, 1) };
  await expect(open()).rejects.toThrow(dam.Malformed);
  kept.record.payload = { ...payload, size: (64 << 20) + 1 };
  await expect(open()).rejects.toThrow(words.tooLarge(dam.toHex(kept.record.copyId)));
  kept.record.payload = null;
  await expect(open()).rejects.toThrow(words.noPayload);
});

it('are shown as text where they are one', () => {
  expect(textOf(dam.utf8('CODE-1\nline two, שלום'))).toBe('CODE-1\nline two, שלום');
  expect(textOf(new Uint8Array(4096).fill(65))).toHaveLength(4096);
  const not = [Uint8Array.of(0xff), dam.utf8('a\u0000'), dam.utf8('turned \u202e around')];
  for (const one of [...not, new Uint8Array(4097).fill(65)]) expect(textOf(one)).toBeUndefined();
});

it('are warned of by the ends of their names', () => {
  expect(['a.exe', 'A.EXE', 'song.mp3.scr', 'x.jar'].every(isProgram)).toBe(true);
  expect(['a.mp3', 'exe', 'a.exe.txt'].some(isProgram)).toBe(false);
});
