// Addresses: texts in the form of EIP-55 everywhere in here.

import { fromHex, toHex, utf8 } from './bytes.js';
import { Malformed } from './errors.js';
import { keccak } from './hash.js';

/** EIP-55, 42 characters. */
export type Address = string;

export const ZERO_ADDRESS: Address = `0x${'0'.repeat(40)}`;

/** The EIP-55 form of 20 bytes. */
export function checksum(raw: Uint8Array): Address {
  if (raw.length !== 20) throw new Malformed(`an address is 20 bytes, not ${raw.length}`);
  const digits = toHex(raw).slice(2);
  const digest = keccak(utf8(digits));
  let text = '0x';
  for (let i = 0; i < 40; i++) {
    const nibble = ((digest[i >> 1] as number) >> (i % 2 ? 0 : 4)) & 15;
    const digit = digits.charAt(i);
    text += nibble > 7 ? digit.toUpperCase() : digit;
  }
  return text;
}

/** An address from outside: 0x and 40 digits, all lower case or with a right checksum. */
export function parseAddress(text: unknown): Address {
  if (typeof text !== 'string' || !/^0x[0-9a-fA-F]{40}$/.test(text) || text.length !== 42) {
    throw new Malformed('an address is 0x and 40 hex digits');
  }
  const address = checksum(fromHex(text.toLowerCase()));
  if (text !== address && text !== address.toLowerCase()) {
    throw new Malformed('the checksum of the address is wrong (EIP-55)');
  }
  return address;
}

export function addressBytes(address: Address): Uint8Array {
  return fromHex(address.toLowerCase());
}
