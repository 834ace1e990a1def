import { html, nothing, type TemplateResult } from 'lit';
import { openSeedFileAsync } from '../core/index.js';
import { Keys } from '../keep/keys.js';
import { Screen } from './base.js';
import { policy } from './policy.js';
import { saveFile } from './save.js';
import { words } from './words.js';

const MOST_FILE = 64 * 1024;
const GROUPS = 6;
const LETTERS = 'abcdefghjkmnpqrstuvwxyz23456789';
type State = Awaited<ReturnType<Keys['state']>>;

/** Six groups of four letters that nobody mistakes for others: 118 bits. */
export function makePassphrase(): string {
  const pick = (): string => {
    for (;;) {
      const [byte] = crypto.getRandomValues(new Uint8Array(1)) as unknown as [number];
      if (byte < LETTERS.length * 8) return LETTERS.charAt(byte % LETTERS.length);
    }
  };
  return Array.from({ length: GROUPS }, () => Array.from({ length: 4 }, pick).join('')).join('-');
}

function seal(seed: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const url = policy.createScriptURL('./seal.worker.js') as unknown as string;
  const worker = new Worker(url, { type: 'module' });
  return new Promise<Uint8Array>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = () => reject(new Error(words.keysNoWorker));
    worker.postMessage({ seed, passphrase });
  }).finally(() => worker.terminate());
}

/** `#/keys`: the seed that opens purchases, and its backup. Nothing is paid before there is one. */
export class KeysScreen extends Screen {
  static override properties = {
    ...Screen.properties,
    state: { state: true },
    ready: { state: true },
    busy: { state: true },
    problem: { state: true },
    passphrase: { state: true },
  };
  declare state: State;
  declare ready: boolean;
  declare busy: boolean;
  declare problem: string;
  /** Of the keys just made: shown until the backup was read back. */
  declare passphrase: string;
  private keys: Keys | undefined;
  private backup: Uint8Array | undefined;

  constructor() {
    super();
    this.state = undefined;
    this.ready = false;
    this.busy = false;
    this.problem = '';
    this.passphrase = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.work(async () => {
      this.keys = new Keys(await this.context.session.db());
      this.state = await this.keys.state();
      this.ready = true;
    });
  }

  /** One thing at a time; what goes wrong is told. */
  private async work(task: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = '';
    try {
      await task();
    } catch (error) {
      this.problem = words.keysFailed((error as Error).message);
    } finally {
      this.busy = false;
    }
  }

  private make(): Promise<void> {
    return this.work(async () => {
      const seed = crypto.getRandomValues(new Uint8Array(32));
      const passphrase = makePassphrase();
      const file = await seal(seed, passphrase);
      await this.keys?.keepFile(file);
      this.passphrase = passphrase;
      this.backup = file;
      this.state = await this.keys?.state();
    });
  }

  private save(): void {
    if (this.backup) saveFile(this.backup, 'dam-buyer-seed.json');
  }

  /** Reads the backup from where it was saved, and from then on it counts. */
  private confirm(event: Event): void {
    event.preventDefault();
    const { file, passphrase } = fields(event);
    void this.work(async () => {
      const bytes = await bytesOf(file);
      const seed = await this.keys?.open(async () => passphrase);
      if (!seed) return;
      await this.keys?.confirmBackup(bytes, passphrase, seed);
      this.context.session.seed = seed;
      this.passphrase = '';
      this.backup = undefined;
      this.state = await this.keys?.state();
    });
  }

  /** Takes a key file of the command line, or of another browser: it is its own backup. */
  private take(event: Event): void {
    event.preventDefault();
    const { file, passphrase } = fields(event);
    void this.work(async () => {
      const bytes = await bytesOf(file);
      const seed = await openSeedFileAsync(bytes, 'buyer-seed', passphrase);
      await this.keys?.keepFile(bytes);
      await this.keys?.confirmBackup(bytes, passphrase, seed);
      this.context.session.seed = seed;
      this.state = await this.keys?.state();
    });
  }

  private wipe(event: Event): void {
    event.preventDefault();
    void this.work(async () => {
      await this.keys?.wipe();
      this.context.session.seed = undefined;
      this.passphrase = '';
      this.backup = undefined;
      this.state = undefined;
    });
  }

  override render(): TemplateResult {
    return html`<h1>${words.keys}</h1>
      <p>${words.keysWhat}</p>
      <div aria-live="polite">
        ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
        ${this.busy ? html`<p class="quiet">${words.keysBusy}</p>` : nothing}
        ${this.ready ? html`<p><strong>${this.told()}</strong></p>` : nothing}
      </div>
      ${this.ready ? this.steps() : nothing}`;
  }

  private told(): string {
    if (!this.state) return words.keysNone;
    return this.state.backedUp ? words.keysBackedUp : words.keysNoBackup;
  }

  private steps(): TemplateResult {
    if (!this.state)
      return html`<p><button class="main" ?disabled=${this.busy} @click=${this.make}>${words.keysMake}</button></p>
        <h2>${words.keysTakeHead}</h2>
        ${this.form(this.take, words.keysTake)}`;
    return html`${this.passphrase ? this.fresh() : nothing}
      ${
        this.state.backedUp
          ? nothing
          : html`<h2>${words.keysConfirmHead}</h2>
              ${this.form(this.confirm, words.keysConfirm)}`
      }
      <details>
        <summary>${words.keysWipeHead}</summary>
        <form @submit=${this.wipe}>
          <p>${words.keysWipeWhat}</p>
          <label class="tick">
            <input type="checkbox" required /> <span>${words.keysWipeTick}</span>
          </label>
          <p><button ?disabled=${this.busy}>${words.keysWipe}</button></p>
        </form>
      </details>`;
  }

  private fresh(): TemplateResult {
    return html`<section class="note" aria-labelledby="fresh-head">
      <h2 id="fresh-head">${words.keysWriteDown}</h2>
      <p><code class="secret">${this.passphrase}</code></p>
      <p>${words.keysSaveWhat}</p>
      <p><button class="main" @click=${this.save}>${words.keysSave}</button></p>
    </section>`;
  }

  private form(submit: (event: Event) => void, name: string): TemplateResult {
    return html`<form class="search wide" @submit=${submit}>
      <label>
        <span>${words.keysFile}</span>
        <input type="file" name="file" required accept=".json,application/json" />
      </label>
      <label>
        <span>${words.keysPassphrase}</span>
        <input type="password" name="passphrase" required autocomplete="off" />
      </label>
      <button class="main" ?disabled=${this.busy}>${name}</button>
    </form>`;
  }
}

function fields(event: Event): { file: File; passphrase: string } {
  const form = new FormData(event.target as HTMLFormElement);
  return { file: form.get('file') as File, passphrase: String(form.get('passphrase')) };
}

async function bytesOf(file: File): Promise<Uint8Array> {
  if (file.size > MOST_FILE) throw new Error(words.keysLarge);
  return new Uint8Array(await file.arrayBuffer());
}

customElements.define('dam-keys', KeysScreen);
