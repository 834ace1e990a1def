import { html, nothing, type TemplateResult } from 'lit';
import { Screen } from './base.js';
import { words } from './words.js';

type Kept = Awaited<ReturnType<import('../keep/keys.js').Keys['state']>>;

/** Asks for the passphrase of the keys, once for each tab; tells `opened` when the seed is there. */
export class Unlock extends Screen {
  static override properties = {
    ...Screen.properties,
    kept: { state: true },
    ready: { state: true },
    busy: { state: true },
    problem: { state: true },
  };
  declare kept: Kept;
  declare ready: boolean;
  declare busy: boolean;
  declare problem: string;

  constructor() {
    super();
    this.kept = undefined;
    this.ready = false;
    this.busy = false;
    this.problem = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.begin();
  }

  private async begin(): Promise<void> {
    try {
      this.kept = await (await this.context.session.keys()).state();
      this.ready = true;
      if (this.kept?.kind === 'device' && this.kept.backedUp) await this.open();
    } catch (error) {
      this.problem = words.keysFailed((error as Error).message);
    }
  }

  private async open(passphrase = ''): Promise<void> {
    const { session } = this.context;
    this.busy = true;
    this.problem = '';
    try {
      session.seed = await (await session.keys()).open(async () => passphrase);
      this.dispatchEvent(new Event('opened'));
    } catch (error) {
      this.problem = words.keysFailed((error as Error).message);
    } finally {
      this.busy = false;
    }
  }

  private submit(event: Event): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    void this.open(String(form.get('passphrase')));
  }

  override render(): TemplateResult {
    const problem = html`<div aria-live="polite">
      ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
      ${this.busy ? html`<p class="quiet">${words.keysBusy}</p>` : nothing}
    </div>`;
    if (!this.ready) return problem;
    if (!this.kept?.backedUp)
      return html`${problem}
        <p>${this.kept ? words.keysNoBackup : words.payNoKeys}</p>
        <p><a class="button" href="#/keys">${words.keys}</a></p>`;
    if (this.kept.kind === 'device') return problem;
    return html`${problem}
      <form class="search" @submit=${this.submit}>
        <label>
          <span>${words.unlockPassphrase}</span>
          <input type="password" name="passphrase" required autocomplete="off" />
        </label>
        <button class="main" ?disabled=${this.busy}>${words.unlock}</button>
      </form>`;
  }
}

customElements.define('dam-unlock', Unlock);
