// Amounts as people write them: exact integers in the smallest unit, never floats.

import { Malformed } from './errors.js';
import { MAX_AMOUNT } from './fields.js';

const MAX_LETTERS = 100;

/** Reads whole tokens, `5` or `5.25` (digits may be grouped by `_`), as smallest units. */
export function parseUnits(text: string, decimals: number): bigint {
  const match = /^(\d[\d_]*)(?:\.(\d[\d_]*))?$/.exec(text.trim());
  if (!match || text.length > MAX_LETTERS) {
    throw new Malformed("no amount: write it as '5' or '5.25'");
  }
  const whole = (match[1] as string).replaceAll('_', '');
  const part = (match[2] ?? '').replaceAll('_', '').replace(/0+$/, '');
  if (part.length > decimals) throw new Malformed(`finer than ${decimals} decimals`);
  const amount = BigInt(whole + part.padEnd(decimals, '0'));
  if (amount > MAX_AMOUNT) throw new Malformed('the amount is over 2^128');
  return amount;
}

/** Smallest units in whole tokens, exact; what `parseUnits` reads again. */
export function formatUnits(amount: bigint, decimals: number): string {
  if (amount < 0n) return `-${formatUnits(-amount, decimals)}`;
  const digits = amount.toString().padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  const part = digits.slice(point).replace(/0+$/, '');
  return part ? `${digits.slice(0, point)}.${part}` : digits.slice(0, point);
}
