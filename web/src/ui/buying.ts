// A purchase up to the wallet's answer. It is written down before each step that could be the last:
// a tab may close between any two lines.
import {
  type Address,
  BuyerSeed,
  copyId,
  encodeCall,
  equal,
  fromHex,
  type Item,
  partProofs,
  payloadOf,
  publicKey,
  readSection,
  reserveOf,
  toHex,
  ZERO_ADDRESS,
} from '../core/index.js';
import type { KeptPurchase, Purchases } from '../keep/purchases.js';
import { quantityOf } from '../net/rpc.js';
import {
  accountOf,
  sameChain,
  sendTransaction,
  type Transaction,
  type Wallet,
  WalletError,
} from '../net/wallets.js';
import type { Chain, Reading } from './chain.js';
import { Stopped, stoppedBy } from './refusals.js';
import { words } from './words.js';

/** So many attempts at one copy a rescan tries: the seed alone finds the keys of each again. */
const ATTEMPTS = 16;
/** Blocks of a file that are fetched before it is paid for. */
const SAMPLED_CHUNKS = 16;

export interface Offer {
  chain: Chain;
  reading: Reading & { kind: 'checked' };
  item: Item;
}

/** Chooses a free copy, checks its parts and its good, makes keys, and writes all of it down. */
export async function prepare(
  { chain, reading, item }: Offer,
  buyer: Address,
  seed: Uint8Array,
  purchases: Purchases,
): Promise<KeptPurchase> {
  const { terms } = item;
  const { seller, root } = reading.store.place;
  if (buyer === seller) throw new Stopped(words.ownStore);
  if (terms.arbitrator === buyer || terms.arbitrator === seller)
    throw new Stopped(words.arbitratorIsParty);
  if (terms.token !== ZERO_ADDRESS) throw new Stopped(words.buyByCommand);
  if (reading.freeStake < reserveOf(terms)) throw new Stopped(words.stakeTooLow);
  const copy = await chain.freeCopy(seller, item);
  if (copy === undefined) throw new Stopped(words.soldOutNow);
  const get = chain.blocks.get.bind(chain.blocks);
  await readSection((cid) => get(cid), item, copy);
  const payload = payloadOf(item, copy);
  if (payload.kind === 'stream') {
    for (const cid of some(payload.chunks, SAMPLED_CHUNKS)) await get(cid);
  }
  const id = copyId(seller, terms.itemId, copy);
  const { chainId, market } = chain.market.record;
  const attempt = freshAttempt(id, await purchases.all());
  const secret = new BuyerSeed(seed).purchase(BigInt(chainId), market, id, attempt);
  const keys = Array.from({ length: terms.parts }, (_, i) => publicKey(secret.partSecret(i)));
  const proof = reading.store.termsProof(item);
  const data = encodeCall('buyItem', {
    seller,
    terms: { ...terms },
    proof,
    storeDigest: reading.digest,
    copy,
    keys,
  });
  return purchases.add({
    record: {
      chainId,
      market,
      copyId: id,
      attempt,
      seller,
      buyer,
      item: item.name,
      title: item.title,
      storeDigest: reading.digest,
      root,
      keys,
      payload,
      partProofs: partProofs(item, copy),
      made: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
      tx: null,
      block: null,
      failed: false,
    },
    account: buyer,
    sinceBlock: Number(await chain.rpc.quantity('eth_blockNumber')),
    data,
    value: terms.price,
    ...(item.about.fileName !== undefined && { fileName: item.about.fileName }),
  });
}

/** An earlier try at this good that may have paid without a word: it comes before another. */
export function undecided(
  { reading, item }: Offer,
  purchases: Purchases,
): Promise<KeptPurchase | undefined> {
  const { market, chainId, seller } = reading.store.place;
  return mayHavePaid({ market, chainId, seller, item: item.name }, purchases);
}

async function mayHavePaid(
  good: { market: string; chainId: number; seller: string; item?: string },
  purchases: Purchases,
  except = '',
): Promise<KeptPurchase | undefined> {
  return (await purchases.all()).find(
    ({ id, state, record }) =>
      id !== except &&
      (state === 'asked' || state === 'sent') &&
      record.chainId === good.chainId &&
      record.market === good.market &&
      record.seller === good.seller &&
      record.item === good.item,
  );
}

/** Random, so that two devices rarely take the same; none twice for a copy. */
function freshAttempt(copy: Uint8Array, all: readonly KeptPurchase[]): number {
  const used = new Set(
    all.filter(({ record }) => equal(record.copyId, copy)).map(({ record }) => record.attempt),
  );
  const free = Array.from({ length: ATTEMPTS }, (_, i) => i).filter((i) => !used.has(i));
  const [attempt] = some(free, 1);
  if (attempt === undefined) throw new Stopped(words.tooManyTries);
  return attempt;
}

/** So many of them at random, or all where there are fewer. */
function some<T>(from: readonly T[], count: number): T[] {
  const left = [...from];
  const found: T[] = [];
  while (left.length && found.length < count) {
    const [number] = crypto.getRandomValues(new Uint32Array(1)) as unknown as [number];
    found.push(...left.splice(number % left.length, 1));
  }
  return found;
}

/** Runs it on the node without signing: what the market would refuse is never sent. */
export async function tryOut(chain: Chain, asked: Transaction): Promise<void> {
  try {
    const balance = quantityOf(await chain.rpc.call('eth_getBalance', asked.from, 'latest'));
    if (balance < BigInt(asked.value)) throw new Stopped(words.noMoney);
    await chain.rpc.call('eth_call', asked, 'latest');
  } catch (error) {
    throw stoppedBy(error);
  }
}

/** Refuses a wallet that is on another chain, or shows another account. */
export async function checkWallet(chain: Chain, wallet: Wallet, account: Address): Promise<void> {
  const { server, market } = chain;
  const node = (method: string, params: unknown[]) => server.call(market.key, method, params);
  if (!(await sameChain(wallet, node, market.record.market))) throw new Stopped(words.otherCopy);
  if ((await accountOf(wallet, true)) !== account.toLowerCase())
    throw new Stopped(words.switchAccount(account));
}

/** A call of this purchase's market, by the account that pays for it. */
export function transactionOf(
  { account, record }: KeptPurchase,
  data: Uint8Array,
  value = 0n,
): Transaction {
  return {
    from: account,
    to: record.market,
    data: toHex(data),
    value: `0x${value.toString(16)}`,
    chainId: `0x${record.chainId.toString(16)}`,
  };
}

/** Asks the wallet to pay what was written down. One purchase at a time for each account. */
export function ask(
  chain: Chain,
  kept: KeptPurchase,
  wallet: Wallet,
  purchases: Purchases,
  onAsk: () => void = () => undefined,
): Promise<void> {
  const name = `dam-buy-${kept.account}`;
  return navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (!lock) throw new Stopped(words.otherTab);
    await checkWallet(chain, wallet, kept.account);
    if (!kept.data) throw new Stopped(words.buyAnew);
    if (await mayHavePaid(kept.record, purchases, kept.id)) throw new Stopped(words.undecided);
    const before = (await purchases.get(kept.id))?.state;
    const asked = transactionOf(kept, kept.data, kept.value);
    try {
      await tryOut(chain, asked);
    } catch (error) {
      const { ends } = error as Stopped;
      // Of one that was asked for before, our own purchase may be what is in the way.
      if (ends && before === 'saved') await purchases.move(kept.id, ends);
      throw error;
    }
    await purchases.move(kept.id, 'asked');
    onAsk();
    await send(kept.id, wallet, asked, purchases, before === 'saved');
  });
}

async function send(
  id: string,
  wallet: Wallet,
  asked: Transaction,
  purchases: Purchases,
  first: boolean,
): Promise<void> {
  addEventListener('beforeunload', hold);
  try {
    const tx = fromHex(await sendTransaction(wallet, asked));
    // Another tab may have seen it on the chain already.
    if ((await purchases.get(id))?.state === 'asked') await purchases.move(id, 'sent', { tx });
  } catch (error) {
    // A no to a second request says nothing of the first, which the wallet may still hold.
    if (first && error instanceof WalletError && error.kind === 'rejected')
      await purchases.move(id, 'saved');
    throw error;
  } finally {
    removeEventListener('beforeunload', hold);
  }
}

function hold(event: Event): void {
  event.preventDefault();
}
