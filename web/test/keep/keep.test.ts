import { IDBFactory } from 'fake-indexeddb';
import { describe, expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import { Db, KeepError } from '../../src/keep/db.js';
import { Keys } from '../../src/keep/keys.js';
import {
  becameOf,
  moved,
  Purchases,
  purchaseId,
  recordFileName,
  resume,
  type State,
} from '../../src/keep/purchases.js';
import { account, bytes, record } from '../fixtures.js';

const kept = (attempt = 7) => ({
  record: record({ attempt }),
  account: account('buyer'),
  sinceBlock: 5,
});
const fresh = (factory = new IDBFactory()) => Db.open('dam', factory);

describe('a purchase', () => {
  it('is there after the page was closed in any state', async () => {
    const factory = new IDBFactory();
    const steps: [State, object][] = [
      ['asked', {}],
      ['sent', { tx: bytes('tx') }],
      ['bought', { block: 9, blockHash: '0x09' }],
      ['parts', {}],
      ['open', { piecesDone: 3 }],
      ['done', {}],
    ];
    let db = await fresh(factory);
    const { id } = await new Purchases(db).add(kept());
    for (const [state, move] of steps) {
      db.close();
      db = await fresh(factory);
      const after = await new Purchases(db).move(id, state, move);
      db.close();
      db = await fresh(factory);
      expect(await new Purchases(db).get(id)).toEqual(after);
    }
    const done = (await new Purchases(db).all())[0];
    expect(done).toMatchObject({ state: 'done', blockHash: '0x09', piecesDone: 3, sinceBlock: 5 });
    expect(done?.record).toEqual({ ...record(), tx: bytes('tx'), block: 9 });
  });

  it('is written strictly, and before anything else', async () => {
    const db = await fresh();
    const asked: unknown[] = [];
    const inner = (db as unknown as { db: IDBDatabase }).db;
    const transaction = inner.transaction.bind(inner);
    inner.transaction = ((...given: Parameters<IDBDatabase['transaction']>) => {
      asked.push(given[2]);
      return transaction(...given);
    }) as IDBDatabase['transaction'];
    await new Purchases(db).add(kept());
    expect(asked).toEqual([{ durability: 'strict' }]);
  });

  it('is bought once, whichever tab is first', async () => {
    const factory = new IDBFactory();
    const tabs = [new Purchases(await fresh(factory)), new Purchases(await fresh(factory))];
    const tries = await Promise.allSettled(tabs.map((tab) => tab.add(kept())));
    expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await expect(tabs[0]?.add(kept(8))).resolves.toMatchObject({ state: 'saved' });
  });

  it('goes no way that there is not, and what fails changes nothing', async () => {
    const purchases = new Purchases(await fresh());
    const { id } = await purchases.add(kept());
    await expect(purchases.move(id, 'open')).rejects.toThrow(KeepError);
    expect((await purchases.get(id))?.state).toBe('saved');
    await expect(purchases.move('0x', 'asked')).rejects.toThrow(KeepError);
  });

  it('goes back when its block was replaced', () => {
    const bought = { ...kept(), id: 'x', state: 'bought' as const, blockHash: '0x09' };
    bought.record.block = 9;
    const after = moved(bought, 'sent');
    expect(after.record.block).toBeNull();
    expect(after.blockHash).toBeUndefined();
  });

  it.each<[State, string, string, string]>([
    ['saved', 'offerAgain', 'goOn', 'anotherWasFaster'],
    ['asked', 'walletMayStillAsk', 'goOn', 'anotherWasFaster'],
    ['sent', 'wait', 'goOn', 'anotherWasFaster'],
    ['bought', 'reorganised', 'goOn', 'anotherWasFaster'],
    ['open', 'reorganised', 'goOn', 'anotherWasFaster'],
    ['lost', 'nothing', 'goOn', 'nothing'],
    ['failed', 'nothing', 'goOn', 'nothing'],
  ])('found %s at the start', (state, no, ours, other) => {
    const found = { ...kept(), id: 'x', state };
    expect(resume(found, 'no')).toBe(no);
    expect(resume(found, 'ours')).toBe(ours);
    expect(resume(found, 'other')).toBe(other);
  });

  it('is the one with all of its keys', () => {
    const purchase = { copyId: bytes('copy'), keys: record().keys } as dam.Purchase;
    expect(becameOf(record(), purchase)).toBe(true);
    expect(becameOf(record(), { ...purchase, keys: [bytes('key 0')] })).toBe(false);
    expect(becameOf(record(), { ...purchase, copyId: bytes('other') })).toBe(false);
  });
});

describe('a record of the command line', () => {
  it('comes in, and goes out under its name', async () => {
    const purchases = new Purchases(await fresh());
    const file = dam.encodeRecord({ ...record(), tx: bytes('tx') });
    const found = await purchases.import(file);
    expect(found.state).toBe('sent');
    expect(dam.encodeRecord(found.record)).toEqual(file);
    expect(recordFileName(found.record)).toBe(`${dam.toHex(bytes('copy'))}-7.json`);
    await purchases.move(found.id, 'bought', { block: 3 });
    expect((await purchases.import(file)).state).toBe('bought');
    const other = { ...record(), keys: [bytes('x'), bytes('y')] };
    await expect(purchases.import(dam.encodeRecord(other))).rejects.toThrow(dam.Malformed);
    await expect(purchases.import(dam.utf8('{}'))).rejects.toThrow(dam.Malformed);
    expect(purchaseId(record())).toBe(found.id);
  });
});

describe('the seed', () => {
  const seed = bytes('seed');
  const cheap = { passes: 1, memory: 8 << 10 };

  it('opens on this device alone, and pays only after a backup was read back', async () => {
    const keys = new Keys(await fresh());
    expect(await keys.state()).toBeUndefined();
    await keys.keepOnDevice(seed);
    expect(await keys.open()).toEqual(seed);
    expect(await keys.state()).toEqual({ kind: 'device', backedUp: false });
    const other = dam.sealSeedFile(bytes('other'), 'buyer-seed', 'pass', cheap);
    await expect(keys.confirmBackup(other, 'pass', seed)).rejects.toThrow(KeepError);
    const file = dam.sealSeedFile(seed, 'buyer-seed', 'pass', cheap);
    await expect(keys.confirmBackup(file, 'typo', seed)).rejects.toThrow(dam.Malformed);
    expect((await keys.state())?.backedUp).toBe(false);
    await keys.confirmBackup(file, 'pass', seed);
    expect((await keys.state())?.backedUp).toBe(true);
    await expect(keys.keepOnDevice(bytes('other'))).rejects.toThrow(KeepError);
    await keys.wipe();
    await expect(keys.open()).rejects.toThrow(KeepError);
  });

  it('lies in a key file where a passphrase guards it', async () => {
    const keys = new Keys(await fresh());
    await keys.keepFile(dam.sealSeedFile(seed, 'buyer-seed', 'pass', cheap));
    expect(await keys.open(async () => 'pass')).toEqual(seed);
    await expect(keys.open(async () => 'typo')).rejects.toThrow(dam.Malformed);
    await expect(keys.open()).rejects.toThrow(KeepError);
  });
});
