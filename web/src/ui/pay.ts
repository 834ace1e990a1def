import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { Screen } from './base.js';
import { ask, type Offer, prepare, undecided } from './buying.js';
import { Stopped, sentenceOf } from './refusals.js';
import { words } from './words.js';
import './unlock.js';

/** How many of the four steps are done. */
type Step = 0 | 1 | 2 | 3;

/** The dialog of four steps, from the offer to the transaction; then its purchase is shown. */
export class PayDialog extends Screen {
  static override properties = {
    ...Screen.properties,
    offer: { attribute: false },
    price: { attribute: false },
    step: { state: true },
    busy: { state: true },
    problem: { state: true },
  };
  declare offer: Offer;
  declare price: string;
  declare step: Step;
  declare busy: boolean;
  declare problem: string;
  /** Of the try that was written down: asked again, not made again. */
  private tried = '';

  constructor() {
    super();
    this.step = 0;
    this.busy = false;
    this.problem = '';
  }

  private readonly changed = (): void => this.requestUpdate();

  override connectedCallback(): void {
    super.connectedCallback();
    this.context.session.addEventListener('changed', this.changed);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.context.session.removeEventListener('changed', this.changed);
  }

  override firstUpdated(changed: PropertyValues): void {
    super.firstUpdated(changed);
    this.querySelector('dialog')?.showModal();
  }

  private async pay(): Promise<void> {
    const { chain } = this.offer;
    const { session } = this.context;
    const { wallet } = session.connected;
    const account = session.accountOn(chain.market.record.chainId);
    if (this.busy || !wallet || !account || !session.seed) return;
    this.busy = true;
    this.problem = '';
    this.step = 0;
    try {
      if (!(await (await session.keys()).state())?.backedUp) throw new Stopped(words.keysNoBackup);
      const purchases = await session.purchases();
      const open = await undecided(this.offer, purchases);
      if (open && (open.state === 'sent' || open.id !== this.tried)) {
        this.tried = open.id;
        throw new Stopped(words.undecided);
      }
      const before = open ?? (this.tried ? await purchases.get(this.tried) : undefined);
      const again = open || (before?.state === 'saved' && before.account === account);
      const kept =
        again && before ? before : await prepare(this.offer, account, session.seed, purchases);
      this.tried = kept.id;
      this.step = 2;
      await ask(chain, kept, wallet, purchases);
      this.step = 3;
      this.querySelector('dialog')?.close();
      location.hash = `#/p/${kept.id}`;
    } catch (error) {
      this.problem = sentenceOf(error);
    } finally {
      this.busy = false;
    }
  }

  private closed(): void {
    this.dispatchEvent(new Event('closed'));
  }

  override render(): TemplateResult {
    return html`<dialog aria-labelledby="pay-head" @close=${this.closed}>
      <h2 id="pay-head" tabindex="-1" autofocus>${words.pay(this.price)}</h2>
      <p dir="auto">${this.offer.item.title}</p>
      ${this.steps()}
      <div aria-live="polite">
        ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
        ${this.busy && this.step === 2 ? html`<p>${words.walletAsking}</p>` : nothing}
      </div>
      ${this.next()}
      <p>
        ${this.tried ? html`<a class="button" href="#/p/${this.tried}">${words.toPurchase}</a>` : nothing}
        <button @click=${() => this.querySelector('dialog')?.close()}>${words.close}</button>
      </p>
    </dialog>`;
  }

  private steps(): TemplateResult {
    return html`<ol class="steps">
      ${words.paySteps.map(
        (name, i) => html`<li class=${i < this.step ? 'past' : ''} aria-current=${
          this.busy && (i === this.step || (i === 1 && this.step === 0)) ? 'step' : nothing
        }>
          ${name} ${i < this.step ? html`<span class="quiet">${words.stepDone}</span>` : nothing}
        </li>`,
      )}
    </ol>`;
  }

  /** What is missing, or the button that pays. */
  private next(): TemplateResult {
    const { session } = this.context;
    const account = session.accountOn(this.offer.chain.market.record.chainId);
    if (!account)
      return html`<p>${words.payNoWallet}</p>
        <p><button class="main" @click=${() => session.wantWallet()}>${words.connect}</button></p>`;
    if (!session.seed)
      return html`<dam-unlock .context=${this.context} @opened=${this.changed}></dam-unlock>`;
    return html`<p>
      <button class="main" ?disabled=${this.busy} @click=${this.pay}>${words.pay(this.price)}</button>
    </p>`;
  }
}

customElements.define('dam-pay', PayDialog);
