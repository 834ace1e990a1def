import { html, nothing, type TemplateResult } from 'lit';
import type { KeptPurchase } from '../keep/purchases.js';
import { shortAddress } from './amounts.js';
import { Screen } from './base.js';
import { Chain } from './chain.js';
import { Follower } from './following.js';
import { sentenceOf } from './refusals.js';
import { words } from './words.js';

const MOST_FILE = 1 << 20;
const ENDED = ['done', 'lost', 'failed'];

/** `#/mine`: everything that was bought here, or begun; each goes on by what the chain says. */
export class LibraryScreen extends Screen {
  static override properties = {
    ...Screen.properties,
    all: { state: true },
    problem: { state: true },
  };
  declare all: KeptPurchase[] | null;
  declare problem: string;

  constructor() {
    super();
    this.all = null;
    this.problem = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      const purchases = await this.context.session.purchases();
      this.all = await purchases.all();
      for (const kept of this.all.filter(({ state }) => !ENDED.includes(state))) {
        const market = this.isConnected && this.marketOf(kept);
        if (!market) continue;
        const chain = new Chain(this.context.server, market);
        await new Follower(chain, purchases, kept.id).look(this.context.session.seed);
      }
      this.all = await purchases.all();
    } catch (error) {
      this.problem = sentenceOf(error);
    }
  }

  private async take(event: Event): Promise<void> {
    event.preventDefault();
    const file = new FormData(event.target as HTMLFormElement).get('file') as File;
    this.problem = '';
    try {
      if (file.size > MOST_FILE) throw new Error(words.recordLarge);
      const purchases = await this.context.session.purchases();
      const { id } = await purchases.import(new Uint8Array(await file.arrayBuffer()));
      location.hash = `#/p/${id}`;
    } catch (error) {
      this.problem = words.keysFailed((error as Error).message);
    }
  }

  override render(): TemplateResult {
    return html`<h1>${words.library}</h1>
      <div aria-live="polite">
        ${this.problem ? html`<p class="note warn">${this.problem}</p>` : nothing}
        ${this.all && !this.all.length ? html`<p>${words.libraryEmpty}</p>` : nothing}
      </div>
      <ul class="cards">
        ${(this.all ?? []).map(
          (kept) => html`<li class="card">
            <h2><a href="#/p/${kept.id}" dir="auto">${kept.record.title}</a></h2>
            <span>${words.stateNames[kept.state]}</span>
            <span class="quiet foot">
              <span>${words.moment(Date.parse(kept.record.made) / 1000)}</span>
              <span class="mono">${shortAddress(kept.record.seller)}</span>
            </span>
          </li>`,
        )}
      </ul>
      <details>
        <summary>${words.recordTakeHead}</summary>
        <form class="search wide" @submit=${this.take}>
          <label>
            <span>${words.recordFile}</span>
            <input type="file" name="file" required accept=".json,application/json" />
          </label>
          <button>${words.recordTake}</button>
        </form>
      </details>`;
  }
}

customElements.define('dam-library', LibraryScreen);
