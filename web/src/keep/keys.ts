// The buyer's seed: sealed in this browser, and never used to pay before a backup was read back.

import { equal, openSeedFileAsync } from '../core/index.js';
import { type Db, KeepError } from './db.js';

interface KeptSeed {
  /** `device`: under a key that this browser does not give away; `file`: a key file of `dam`. */
  kind: 'device' | 'file';
  box: Uint8Array;
  nonce?: Uint8Array;
  key?: CryptoKey;
  /** A backup was made, and read again. */
  backedUp: boolean;
}

const NAME = 'buyer-seed';

export class Keys {
  constructor(
    private readonly db: Db,
    private readonly subtle: SubtleCrypto = crypto.subtle,
  ) {}

  async state(): Promise<{ kind: 'device' | 'file'; backedUp: boolean } | undefined> {
    const kept = await this.db.get<KeptSeed>('keys', NAME);
    return kept && { kind: kept.kind, backedUp: kept.backedUp };
  }

  /** Keeps a seed under a key that never leaves this browser; never replaces one. */
  async keepOnDevice(seed: Uint8Array): Promise<void> {
    const algorithm = { name: 'AES-GCM', length: 256 };
    const key = await this.subtle.generateKey(algorithm, false, ['encrypt', 'decrypt']);
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await this.subtle.encrypt({ name: 'AES-GCM', iv: nonce }, key, copy(seed));
    await this.keep({ kind: 'device', box: new Uint8Array(sealed), nonce, key, backedUp: false });
  }

  /** Keeps a key file as it is: its passphrase is asked for once a session. Never replaces a seed. */
  async keepFile(file: Uint8Array): Promise<void> {
    await this.keep({ kind: 'file', box: file, backedUp: false });
  }

  private async keep(seed: KeptSeed): Promise<void> {
    await this.db.change<KeptSeed>('keys', NAME, (before) => {
      if (before) throw new KeepError('this browser has a seed already: wipe it first');
      return seed;
    });
  }

  /** The seed; a passphrase is asked for where it lies in a key file. */
  async open(passphrase?: () => Promise<string>): Promise<Uint8Array> {
    const kept = await this.db.get<KeptSeed>('keys', NAME);
    if (!kept) throw new KeepError('this browser has no seed');
    if (kept.kind === 'file') {
      if (!passphrase) throw new KeepError('the seed wants its passphrase');
      return openSeedFileAsync(kept.box, 'buyer-seed', await passphrase());
    }
    const { key, nonce, box } = kept;
    const iv = copy(nonce as Uint8Array);
    const algorithm = { name: 'AES-GCM', iv };
    return new Uint8Array(await this.subtle.decrypt(algorithm, key as CryptoKey, copy(box)));
  }

  /** Reads a backup back from where it was saved; from then on the seed may pay. */
  async confirmBackup(file: Uint8Array, passphrase: string, seed: Uint8Array): Promise<void> {
    const found = await openSeedFileAsync(file, 'buyer-seed', passphrase);
    if (!equal(found, seed)) throw new KeepError('this is the backup of another seed');
    await this.db.change<KeptSeed>('keys', NAME, (before) => {
      if (!before) throw new KeepError('this browser has no seed');
      return { ...before, backedUp: true };
    });
  }

  async wipe(): Promise<void> {
    await this.db.remove('keys', NAME);
  }
}

/** In memory of its own, as WebCrypto wants it. */
function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
