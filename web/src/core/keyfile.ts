// Key files: a seed under a passphrase, the same files as those of the `dam` command.
//
// JSON with version 1, kind, kdf (argon2id13) and a secretbox over strict JSON that names the kind
// once more.

import { argon2id, argon2idAsync } from '@noble/hashes/argon2.js';
import { randomBytes } from '@noble/hashes/utils.js';
import { toHex, utf8 } from './bytes.js';
import { Malformed } from './errors.js';
import { bytes32, hexadecimal, integer, isObject, record } from './fields.js';
import { decodeFile, encodeJson, type Json } from './json.js';
import { openSecretBox, sealSecretBox } from './x25519.js';

export type SeedKind = 'seller-seed' | 'buyer-seed';

export const KDF_PASSES = 3;
export const KDF_MEMORY_BYTES = 128 << 20;
const MAX_FILE_BYTES = 1 << 20;

export interface Kdf {
  passes: number;
  /** In bytes, whole kibibytes of it count. */
  memory: number;
  salt: Uint8Array;
}

export interface SealOptions extends Partial<Kdf> {
  nonce?: Uint8Array;
}

interface KeyFile {
  kind: Json;
  kdf: Kdf;
  nonce: Uint8Array;
  box: Uint8Array;
}

function argonOptions({ passes, memory }: Kdf): { t: number; m: number; p: number; dkLen: number } {
  return { t: passes, m: memory >> 10, p: 1, dkLen: 32 };
}

function stretch(passphrase: string, kdf: Kdf): Uint8Array {
  return argon2id(utf8(passphrase), kdf.salt, argonOptions(kdf));
}

function parse(data: Uint8Array, kind: SeedKind): KeyFile {
  if (data.length > MAX_FILE_BYTES) throw new Malformed('no key file of DAM: over 1 MiB');
  const file = record(decodeFile(data), 'file', ['version', 'kind', 'kdf', 'nonce', 'box']);
  integer(file.version, 'version', 1, 1);
  const kdf = record(file.kdf, 'kdf', ['algorithm', 'passes', 'memory', 'salt']);
  if (kdf.algorithm !== 'argon2id13') throw new Malformed('kdf is not argon2id13');
  if (file.kind !== kind) throw new Malformed(`not a file of kind ${kind}`);
  return {
    kind: file.kind,
    // Bounds: a file from a stranger must not eat the machine.
    kdf: {
      passes: integer(kdf.passes, 'passes', 1, 16),
      memory: integer(kdf.memory, 'memory', 8 << 10, 1 << 30),
      salt: hexadecimal(kdf.salt, 'salt', 16),
    },
    nonce: hexadecimal(file.nonce, 'nonce', 24),
    box: hexadecimal(file.box, 'box', 16, MAX_FILE_BYTES),
  };
}

function openWith(key: Uint8Array, file: KeyFile): Uint8Array {
  const plain = openSecretBox(key, file.nonce, file.box);
  if (!plain) throw new Malformed('the passphrase does not open the key file');
  const body = decodeFile(plain);
  if (!isObject(body) || body.kind !== file.kind) {
    throw new Malformed('the key file says that it is of another kind than it is');
  }
  return bytes32(body.seed, 'seed');
}

/** The 32-byte seed of a key file; seconds of work, so call it in a worker. */
export function openSeedFile(data: Uint8Array, kind: SeedKind, passphrase: string): Uint8Array {
  const file = parse(data, kind);
  return openWith(stretch(passphrase, file.kdf), file);
}

/** As `openSeedFile`, giving way to others in between. */
export async function openSeedFileAsync(
  data: Uint8Array,
  kind: SeedKind,
  passphrase: string,
): Promise<Uint8Array> {
  const file = parse(data, kind);
  const options = argonOptions(file.kdf);
  return openWith(await argon2idAsync(utf8(passphrase), file.kdf.salt, options), file);
}

/** The bytes of a key file. Salt and nonce are random unless given, which only vectors need. */
export function sealSeedFile(
  seed: Uint8Array,
  kind: SeedKind,
  passphrase: string,
  options: SealOptions = {},
): Uint8Array {
  if (seed.length !== 32) throw new Malformed('a seed is 32 bytes');
  if (!passphrase) throw new Malformed('the passphrase of a key file is not empty');
  const kdf: Kdf = {
    passes: options.passes ?? KDF_PASSES,
    memory: options.memory ?? KDF_MEMORY_BYTES,
    salt: options.salt ?? randomBytes(16),
  };
  const nonce = options.nonce ?? randomBytes(24);
  const body = encodeJson({ kind, seed: toHex(seed) });
  return encodeJson({
    version: 1,
    kind,
    kdf: {
      algorithm: 'argon2id13',
      passes: kdf.passes,
      memory: kdf.memory,
      salt: toHex(kdf.salt),
    },
    nonce: toHex(nonce),
    box: toHex(sealSecretBox(stretch(passphrase, kdf), nonce, body)),
  });
}
