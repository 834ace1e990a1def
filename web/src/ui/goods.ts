// A good once its key is there: decrypted, and told apart by what it is, not by what it is called.
import { domain, openInline, StreamOpener, toHex } from '../core/index.js';
import type { KeptPurchase } from '../keep/purchases.js';
import type { Chain } from './chain.js';
import type { SaleSeen } from './following.js';
import { Stopped } from './refusals.js';
import { words } from './words.js';

/** Of a good that is opened in memory. */
const MOST_BYTES = 64 << 20;
/** Of a good that is shown as text. */
const MOST_SHOWN = 4096;
const PROGRAM = /\.(exe|msi|bat|cmd|com|scr|ps1|vbs|js|jar|sh|app|dmg|pkg|deb|rpm|apk|lnk)$/i;

/** Decrypts the good; what comes out is what the store named, or nothing does. */
export async function openGood(
  chain: Pick<Chain, 'blocks'>,
  { record }: KeptPurchase,
  { purchase, key }: Pick<SaleSeen, 'purchase' | 'key'>,
): Promise<Uint8Array> {
  const { payload, chainId, market } = record;
  if (!key || !payload) throw new Stopped(words.noPayload);
  const { seller, copy, terms } = purchase;
  const place = domain(BigInt(chainId), market, seller, terms.itemId, terms.stock, copy);
  if (payload.kind === 'inline') return openInline(key, place, payload);
  if (payload.size > MOST_BYTES) throw new Stopped(words.tooLarge(toHex(record.copyId)));
  const opener = new StreamOpener(key, place, payload);
  const good = new Uint8Array(payload.size);
  let at = 0;
  for (const cid of payload.chunks) {
    const piece = opener.push(await chain.blocks.get(cid));
    good.set(piece, at);
    at += piece.length;
  }
  opener.finish();
  return good;
}

/** The good as a text, where it is one: controls but line ends, and what turns text around, are not. */
export function textOf(good: Uint8Array): string | undefined {
  if (good.length > MOST_SHOWN) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(good);
    return /[^\P{C}\n\r\t]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Whether systems run a file of this name when it is opened. */
export function isProgram(name: string): boolean {
  return PROGRAM.test(name);
}
