// What is written down, and tried out, before the wallet is asked.

import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import * as dam from '../../src/core/index.js';
import { Db } from '../../src/keep/db.js';
import { Purchases, type State } from '../../src/keep/purchases.js';
import { RpcError } from '../../src/net/rpc.js';
import { type Wallet, WalletError } from '../../src/net/wallets.js';
import { ask, type Offer, undecided } from '../../src/ui/buying.js';
import type { Chain } from '../../src/ui/chain.js';
import { sentenceOf } from '../../src/ui/refusals.js';
import { words } from '../../src/ui/words.js';
import { account, bytes, MARKET, record } from '../fixtures.js';

const BUYER = account('buyer');
const TX = dam.toHex(bytes('transaction'));
const BLOCK = { hash: dam.toHex(bytes('block')) };

async function begin() {
  const purchases = new Purchases(await Db.open('dam', new IDBFactory()));
  const kept = await purchases.add({
    record: record({ keys: [bytes('key')], payload: null, partProofs: [[]] }),
    account: BUYER,
    sinceBlock: 5,
    data: bytes('calldata'),
    value: 10n,
  });
  /** What node and wallet were asked, and in which state the purchase was then. */
  const asked: [string, State | undefined][] = [];
  const state = async () => (await purchases.get(kept.id))?.state;
  const answers: Record<string, unknown> = {
    eth_chainId: '0x7a69',
    eth_blockNumber: '0x64',
    eth_getBlockByNumber: BLOCK,
    eth_getCode: '0x60',
    eth_accounts: [BUYER.toLowerCase()],
    eth_getBalance: '0xa',
    eth_call: '0x',
    eth_sendTransaction: TX,
  };
  const theirs: Record<string, unknown> = {};
  const seen: Record<string, readonly unknown[]> = {};
  const answer = async (method: string, params: readonly unknown[], from = answers) => {
    asked.push([method, await state()]);
    seen[method] = params;
    const found = from[method] ?? answers[method];
    if (found instanceof Error || (found as { code?: number }).code) throw found;
    return found;
  };
  const chain = {
    market: { key: 'one', record: { market: MARKET } },
    server: { call: (_: string, method: string, params: unknown[]) => answer(method, params) },
    rpc: { call: (method: string, ...params: unknown[]) => answer(method, params) },
  } as unknown as Chain;
  const provider = {
    request: ({ method, params }: { method: string; params?: readonly unknown[] }) =>
      answer(method, params ?? [], theirs),
  };
  const wallet = { provider } as unknown as Wallet;
  const pay = () => ask(chain, kept, wallet, purchases);
  return { answers, theirs, asked, seen, pay, purchases, id: kept.id, state };
}

let locked = false;
beforeEach(() => {
  locked = false;
  const request = (_: string, __: object, work: (lock: object | null) => unknown) =>
    work(locked ? null : {});
  vi.stubGlobal('navigator', { locks: { request } });
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('removeEventListener', () => undefined);
});
afterEach(() => vi.unstubAllGlobals());

it('tries the very transaction, writes that it asks, and then asks', async () => {
  const { asked, seen, pay, purchases, id } = await begin();
  await pay();
  expect(asked.slice(-2)).toEqual([
    ['eth_call', 'saved'],
    ['eth_sendTransaction', 'asked'],
  ]);
  const transaction = {
    from: BUYER,
    to: MARKET,
    data: dam.toHex(bytes('calldata')),
    value: '0xa',
    chainId: '0x7a69',
  };
  expect(seen.eth_call?.[0]).toEqual(transaction);
  expect(seen.eth_sendTransaction).toEqual([transaction]);
  const kept = await purchases.get(id);
  expect([kept?.state, kept?.record.tx]).toEqual(['sent', bytes('transaction')]);
});

it.each([
  ['another chain', { eth_getBlockByNumber: { hash: '0xab' } }, words.otherCopy],
  ['another account', { eth_accounts: [MARKET] }, words.switchAccount(BUYER)],
])('does not ask a wallet on %s', async (_, theirs, sentence) => {
  const bent = await begin();
  Object.assign(bent.theirs, theirs);
  await expect(bent.pay()).rejects.toThrow(sentence);
  expect(bent.asked.map(([method]) => method)).not.toContain('eth_sendTransaction');
  expect(await bent.state()).toBe('saved');
});

const changed = [...dam.errors].find(([, { name }]) => name === 'NoStore') as [string, object];
const takenError = [...dam.errors].find(([, { name }]) => name === 'CopyTaken') as [string, object];
const taken = new RpcError(3, 'reverted', takenError[0] + '0'.repeat(128));
const gone = new RpcError(3, 'reverted', changed[0] + BUYER.slice(2).padStart(64, '0'));

it.each([
  ['the account has too little', 'eth_getBalance', '0x9', words.noMoney, 'saved'],
  ['the market would refuse', 'eth_call', new RpcError(3, 'odd'), words.refused('odd'), 'saved'],
  ['the copy is sold', 'eth_call', taken, words.copyTaken, 'lost'],
  ['the store is another', 'eth_call', gone, words.buyChanged, 'failed'],
])('does not ask where %s', async (_, method, answer, sentence, state) => {
  const bent = await begin();
  bent.answers[method] = answer;
  await expect(bent.pay()).rejects.toThrow(sentence);
  expect(bent.asked.map(([one]) => one)).not.toContain('eth_sendTransaction');
  expect(await bent.state()).toBe(state);
});

it.each([
  [4001, 'saved', words.payRefused.rejected],
  [-32002, 'asked', words.payRefused.pending],
  [4900, 'asked', words.payRefused.disconnected],
  [-1, 'asked', words.payRefused.other],
])('is told of refusal %i, and is %s after it', async (code, state, sentence) => {
  const bent = await begin();
  bent.theirs.eth_sendTransaction = { code, message: 'no' };
  const error = await bent.pay().catch((why: unknown) => why);
  expect(error).toBeInstanceOf(WalletError);
  expect(sentenceOf(error)).toBe(sentence);
  expect(await bent.state()).toBe(state);
});

it.each([
  ['a no to its second request', 'eth_sendTransaction', { code: 4001, message: 'no' }],
  ['its copy being taken, perhaps by itself', 'eth_call', taken],
  ['a store that changed after it', 'eth_call', gone],
])('leaves a try that may have paid as it is after %s', async (_, method, answer) => {
  const bent = await begin();
  await bent.purchases.move(bent.id, 'asked');
  (method === 'eth_call' ? bent.answers : bent.theirs)[method] = answer;
  await expect(bent.pay()).rejects.toThrow();
  expect(bent.asked.map(([one]) => one)).toContain(method);
  expect(await bent.state()).toBe('asked');
});

it('asks for no second copy while another try at the good may have paid', async () => {
  const { asked, pay, purchases, id } = await begin();
  const kept = await purchases.get(id);
  if (!kept) throw new Error('not kept');
  const copyId = new Uint8Array(32).fill(9);
  const other = await purchases.add({ ...kept, record: { ...kept.record, copyId } });
  await purchases.move(other.id, 'asked');
  await expect(pay()).rejects.toThrow(words.undecided);
  expect(asked.map(([one]) => one)).not.toContain('eth_sendTransaction');
});

it('knows an earlier try at the good that may have paid', async () => {
  const { purchases, id } = await begin();
  const place = { chainId: 31337, market: MARKET, seller: MARKET };
  const offer = (name: string, seller = MARKET) =>
    ({ reading: { store: { place: { ...place, seller } } }, item: { name } }) as unknown as Offer;
  expect(await undecided(offer('coupon'), purchases)).toBeUndefined(); // saved: nobody was asked
  for (const state of ['asked', 'sent'] as State[]) {
    await purchases.move(id, state);
    expect((await undecided(offer('coupon'), purchases))?.id).toBe(id);
    expect(await undecided(offer('other'), purchases)).toBeUndefined();
    expect(await undecided(offer('coupon', BUYER), purchases)).toBeUndefined();
  }
  await purchases.move(id, 'bought');
  expect(await undecided(offer('coupon'), purchases)).toBeUndefined();
});

it('lets one tab at a time buy with an account', async () => {
  const { asked, pay } = await begin();
  locked = true;
  await expect(pay()).rejects.toThrow(words.otherTab);
  expect(asked).toEqual([]);
});

it('keeps what another tab has seen meanwhile', async () => {
  const { answers, pay, purchases, id, state } = await begin();
  answers.eth_sendTransaction = {
    // biome-ignore lint/suspicious/noThenProperty: an answer that comes after something else
    then: async (resolve: (hash: string) => void) => {
      await purchases.move(id, 'bought', { block: 9 });
      resolve(TX);
    },
  };
  await pay();
  expect(await state()).toBe('bought');
});
