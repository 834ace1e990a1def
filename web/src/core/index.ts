// Everything of the core by its stable names; what each is stands in its module.

export * from './abi.js';
export * from './about.js';
export * from './address.js';
export * from './bytes.js';
export * from './cid.js';
export * from './document.js';
export * from './errors.js';
export * from './hash.js';
export * from './hashing.js';
export * from './json.js';
export * from './keyfile.js';
export * from './logs.js';
export * from './market.js';
export * from './merkle.js';
export * from './payload.js';
export * from './possession.js';
export * from './record.js';
export * from './sale.js';
export * from './sealing.js';
export * from './secretstream.js';
export * from './seeds.js';
export * from './shamir.js';
export * from './text.js';
export * from './types.js';
export * from './units.js';
export * from './x25519.js';
