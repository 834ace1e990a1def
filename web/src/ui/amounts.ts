// Amounts as people read them: exact, from integers alone.
import type { Token } from './server.js';

const NATIVE = `0x${'0'.repeat(40)}`;

export function shortAddress(address: string): string {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

/** An amount of smallest units with so many decimals, without zeros at its end. */
export function decimal(amount: bigint, decimals: number): string {
  const digits = amount.toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ',');
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return rest ? `${whole}.${rest}` : whole;
}

/** A price: a token's symbol anybody can take, so its address stands beside it. */
export function price(amount: string, token: string, tokens: readonly Token[]): string {
  if (token === NATIVE) return `${decimal(BigInt(amount), 18)} ETH`;
  const known = tokens.find((one) => one.address === token);
  const name = `${known?.symbol ?? 'token'} (${shortAddress(token)})`;
  if (known?.decimals == null) return `${amount} smallest units of ${name}`;
  return `${decimal(BigInt(amount), known.decimals)} ${name}`;
}
