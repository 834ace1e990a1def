import { html, nothing, type TemplateResult } from 'lit';
import {
  type Action,
  doable,
  encodeCall,
  encodeRecord,
  escrowOf,
  isFinal,
  Status,
  saleOf,
  toHex,
} from '../core/index.js';
import { type KeptPurchase, recordFileName } from '../keep/purchases.js';
import { sendTransaction } from '../net/wallets.js';
import { shortAddress } from './amounts.js';
import { Screen } from './base.js';
import { ask, checkWallet, transactionOf, tryOut } from './buying.js';
import { Chain } from './chain.js';
import { Follower, type Look, type SaleSeen } from './following.js';
import { isProgram, openGood, textOf } from './goods.js';
import { sentenceOf } from './refusals.js';
import { saveFile } from './save.js';
import { words } from './words.js';
import './unlock.js';

const POLL_MS = 2000;

/** `#/p/<id>`: a purchase as it goes on, from whatever state a closed tab has left it in. */
export class PurchaseScreen extends Screen {
  static override properties = {
    ...Screen.properties,
    purchase: { attribute: false },
    kept: { state: true },
    found: { state: true },
    problem: { state: true },
    told: { state: true },
    busy: { state: true },
    code: { state: true },
    confirming: { state: true },
  };
  declare purchase: string;
  declare kept: KeptPurchase | null;
  declare found: Look | null;
  /** Why the chain could not be asked just now. */
  declare problem: string;
  /** What came of a button. */
  declare told: string;
  declare busy: boolean;
  /** The good, where it is a text that was asked for. */
  declare code: string | null;
  declare confirming: boolean;
  private chain: Chain | undefined;
  private follower: Follower | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private looking = false;

  constructor() {
    super();
    this.kept = null;
    this.found = null;
    this.problem = '';
    this.told = '';
    this.busy = false;
    this.code = null;
    this.confirming = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.context.session.addEventListener('changed', this.changed);
    addEventListener('blur', this.hide);
    void this.begin();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.context.session.removeEventListener('changed', this.changed);
    removeEventListener('blur', this.hide);
    clearTimeout(this.timer);
    this.follower = undefined;
  }

  private readonly changed = (): void => this.requestUpdate();
  private readonly hide = (): void => {
    this.code = null;
  };

  private async begin(): Promise<void> {
    try {
      const purchases = await this.context.session.purchases();
      const kept = await purchases.get(this.purchase);
      if (!kept) {
        this.problem = words.noPurchase;
        return;
      }
      this.kept = kept;
      const market = this.marketOf(kept);
      if (!market) {
        this.problem = words.unknownMarket;
        return;
      }
      this.chain = new Chain(this.context.server, market);
      this.follower = new Follower(this.chain, purchases, kept.id);
      await this.look();
    } catch (error) {
      this.problem = words.keysFailed((error as Error).message);
    }
  }

  /** Looks at the chain, and again in a moment for as long as the screen is there. */
  private readonly look = async (): Promise<void> => {
    const { follower } = this;
    if (!follower || this.looking) return;
    clearTimeout(this.timer);
    this.looking = true;
    try {
      const found = await follower.look(this.context.session.seed);
      this.found = found;
      this.kept = found.kept;
      this.problem = '';
      if (found.sale && isFinal(found.sale.state.status)) this.confirming = false;
    } catch (error) {
      this.problem = sentenceOf(error);
    }
    this.looking = false;
    if (this.follower === follower) this.timer = setTimeout(this.look, POLL_MS);
  };

  private async work(task: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.told = '';
    try {
      await task();
    } catch (error) {
      this.told = sentenceOf(error);
    } finally {
      this.busy = false;
      void this.look();
    }
  }

  private again(): Promise<void> {
    return this.work(async () => {
      const { chain, kept } = this;
      const { wallet } = this.context.session.connected;
      if (!chain || !kept) return;
      if (!wallet) this.context.session.wantWallet();
      else
        await ask(chain, kept, wallet, await this.context.session.purchases(), () => this.look());
    });
  }

  private open(show: boolean): Promise<void> {
    return this.work(async () => {
      const { chain, kept, found } = this;
      if (!chain || !kept || !found?.sale) return;
      const good = await openGood(chain, kept, found.sale);
      const text = show ? textOf(good) : undefined;
      if (text !== undefined) this.code = text;
      else saveFile(good, kept.fileName ?? `${kept.record.item}.bin`);
      if (text === undefined) this.told = words.saved;
      if (kept.state === 'bought' || kept.state === 'parts')
        await (await this.context.session.purchases()).move(kept.id, 'open');
    });
  }

  private confirm(): Promise<void> {
    return this.work(async () => {
      const { chain, kept, found } = this;
      const { wallet } = this.context.session.connected;
      if (!chain || !kept || !found?.sale) return;
      if (!wallet) {
        this.context.session.wantWallet();
        return;
      }
      const { purchase } = found.sale;
      await checkWallet(chain, wallet, kept.account);
      const data = encodeCall('confirm', {
        copyId: purchase.copyId,
        sale: { ...saleOf(purchase) },
        escrow: { ...escrowOf(purchase) },
      });
      const asked = transactionOf(kept, data);
      await tryOut(chain, asked);
      await sendTransaction(wallet, asked);
      this.confirming = true;
    });
  }

  override render(): TemplateResult {
    const { kept } = this;
    const problem = html`<div aria-live="polite">
      ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
      ${this.told ? html`<p class="note">${this.told}</p>` : nothing}
    </div>`;
    if (!kept) return html`<h1>${words.purchase}</h1>${problem}`;
    const { record } = kept;
    return html`<h1 dir="auto">${record.title}</h1>
      <p class="quiet">${words.boughtFrom} <span class="mono">${shortAddress(record.seller)}</span></p>
      <p aria-live="polite"><strong>${this.sentence(kept)}</strong></p>
      ${problem} ${this.unpaid(kept)} ${this.found?.sale ? this.sale(this.found.sale) : nothing}
      ${this.details(kept)}`;
  }

  private sentence(kept: KeptPurchase): string {
    const { found } = this;
    if (!found?.sale) return words.purchaseStates[kept.state];
    const { sale } = found;
    const { status } = sale.state;
    if (status === Status.Settled) return words.settled;
    if (isFinal(status)) return words.ended;
    if (this.confirming) return words.confirmSent;
    if (sale.key) return kept.state === 'open' ? words.purchaseStates.open : words.canOpen;
    if (!sale.partsUntil && status === Status.Purchased) return words.late;
    return words.partsHere(this.here(sale), sale.parts.length, sale.purchase.terms.threshold);
  }

  private here(sale: SaleSeen): number {
    return sale.parts.filter(({ state }) => state === 'good' || state === 'locked').length;
  }

  /** Where nothing is on the chain yet: the wallet can be asked, for the first time or again. */
  private unpaid(kept: KeptPurchase): TemplateResult | typeof nothing {
    if (!this.found || this.found.sale) return nothing;
    if (kept.state !== 'saved' && kept.state !== 'asked') return nothing;
    if (!kept.data) return html`<p>${words.buyAnew}</p>`;
    const name = kept.state === 'saved' ? words.payNow : words.askAgain;
    return html`<p><button class="main" ?disabled=${this.busy} @click=${this.again}>${name}</button></p>`;
  }

  private sale(sale: SaleSeen): TemplateResult {
    const { session } = this.context;
    return html`${sale.partsUntil && !sale.key ? html`<p>${words.partsUntil(words.moment(Number(sale.partsUntil)))}</p>` : nothing}
      <ul class="parts">
        ${sale.parts.map(
          ({ state, by }, i) => html`<li class=${state}>
            ${words.partStates[state](i + 1)}
            ${by ? html`<span class="mono quiet">${shortAddress(by)}</span>` : nothing}
          </li>`,
        )}
      </ul>
      ${
        session.seed
          ? nothing
          : html`<dam-unlock .context=${this.context} @opened=${this.look}></dam-unlock>`
      }
      ${sale.key ? this.good() : nothing} ${this.deeds(sale)}`;
  }

  private good(): TemplateResult {
    const name = this.kept?.fileName ?? '';
    const long = this.kept?.record.payload?.kind === 'stream';
    return html`${isProgram(name) ? html`<p class="danger">${words.program}</p>` : nothing}
      ${this.code === null ? nothing : html`<p class="code"><code class="secret">${this.code}</code></p>`}
      <p>
        ${
          long
            ? nothing
            : html`<button class="main" ?disabled=${this.busy} @click=${() => this.open(true)}>${words.showCode}</button>`
        }
        <button ?disabled=${this.busy} @click=${() => this.open(false)}>${words.saveGood}</button>
        ${
          this.code === null
            ? nothing
            : html`<button @click=${() => navigator.clipboard.writeText(this.code ?? '')}>${words.copyCode}</button>`
        }
      </p>`;
  }

  /** What the buyer can do on the chain now. */
  private deeds(sale: SaleSeen): TemplateResult | typeof nothing {
    const clock = this.found?.clock;
    if (!clock || this.confirming) return nothing;
    const can = new Set(doable(sale.actions, clock).map(({ name }: Action) => name));
    if (can.has('confirm') && this.kept?.state === 'open')
      return html`<p>${words.confirmWhat}</p>
        <p><button ?disabled=${this.busy} @click=${this.confirm}>${words.confirm}</button></p>`;
    if (can.has('refund'))
      return html`<p><code>dam buyer refund ${toHex(sale.purchase.copyId)}</code></p>`;
    return nothing;
  }

  private details(kept: KeptPurchase): TemplateResult {
    const { record } = kept;
    return html`<details>
      <summary>${words.details}</summary>
      <dl>
        <dt>${words.saleId}</dt>
        <dd class="mono">${toHex(record.copyId)}</dd>
        <dt>${words.payer}</dt>
        <dd class="mono">${kept.account}</dd>
        ${
          record.tx
            ? html`<dt>${words.transaction}</dt>
                <dd class="mono">${toHex(record.tx)}</dd>`
            : nothing
        }
      </dl>
      <p>${words.recordWhat}</p>
      <p>
        <button @click=${() => saveFile(encodeRecord(record), recordFileName(record))}>${words.recordSave}</button>
      </p>
    </details>`;
  }
}

customElements.define('dam-purchase', PurchaseScreen);
