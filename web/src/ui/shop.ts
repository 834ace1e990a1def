import { html, nothing, type TemplateResult } from 'lit';
import { price, shortAddress } from './amounts.js';
import { Screen, storePlace } from './base.js';
import { rating } from './rating.js';
import type { Hints, ItemHint } from './server.js';
import { words } from './words.js';

const AGAIN_MS = 3_000;
const SKELETONS = 6;
const PAGE_ITEMS = 20;

/** `#/`: what is for sale, from the local index. */
export class Shop extends Screen {
  static override properties = {
    ...Screen.properties,
    pages: { state: true },
    failed: { state: true },
    seller: { attribute: false },
    key: { attribute: false },
  };
  declare pages: Hints[] | null;
  declare failed: string;
  /** Of one store's list; empty: all. */
  declare seller: string;
  /** Of the market that is shown. */
  declare key: string;
  private asked: Record<string, string> = {};
  private again: ReturnType<typeof setTimeout> | undefined;
  private turn = 0;

  constructor() {
    super();
    this.pages = null;
    this.failed = '';
    this.seller = '';
    this.key = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (!this.key) this.key = this.context.markets[0]?.key ?? '';
    void this.load();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.again);
    this.turn += 1;
  }

  private async load(page = 1): Promise<void> {
    clearTimeout(this.again);
    this.turn += 1;
    const turn = this.turn;
    const asked = {
      ...this.asked,
      page: String(page),
      ...(this.seller && { seller: this.seller }),
    };
    try {
      const found = await this.context.server.hints(this.key, asked);
      if (turn !== this.turn) return; // somebody asked for something else meanwhile
      this.failed = '';
      this.pages = page === 1 ? [found] : [...(this.pages ?? []), found];
      const early = found.syncing && page === 1 && !found.items.length;
      if (early) this.again = setTimeout(() => void this.load(), AGAIN_MS);
    } catch (error) {
      if (turn === this.turn) this.failed = (error as Error).message;
    }
  }

  private submit(event: Event): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const text = String(form.get('text') ?? '').trim();
    this.asked = { sort: String(form.get('sort')), ...(text && { text }) };
    this.key = String(form.get('market') ?? this.key);
    this.pages = null;
    void this.load();
  }

  private changed(event: Event): void {
    (event.target as HTMLSelectElement).form?.requestSubmit();
  }

  override render(): TemplateResult {
    return html`${this.seller ? nothing : html`<h1>${words.shop}</h1>${this.search()}`}
      <div aria-live="polite">${this.state()}</div>
      ${this.list()}`;
  }

  private search(): TemplateResult {
    const { markets } = this.context;
    return html`<form class="search" role="search" @submit=${this.submit}>
      <label class="words">
        <span>${words.searchLabel}. ${words.searchHint}</span>
        <input name="text" type="search" maxlength="200" autocomplete="off" />
      </label>
      ${
        markets.length < 2
          ? nothing
          : html`<label>
              <span>${words.marketLabel}</span>
              <select name="market" @change=${this.changed}>
                ${markets.map((one) => html`<option value=${one.key}>${one.name}</option>`)}
              </select>
            </label>`
      }
      <label>
        <span>${words.sortLabel}</span>
        <select name="sort" @change=${this.changed}>
          ${Object.entries(words.sorts).map(([key, name]) => html`<option value=${key}>${name}</option>`)}
        </select>
      </label>
      <button class="main">${words.search}</button>
    </form>`;
  }

  private state(): TemplateResult | typeof nothing {
    if (this.failed) return html`<p class="note warn">${words.trouble(this.failed)}</p>`;
    const newest = this.pages?.at(-1);
    if (!newest) return html`<p class="quiet">${words.looking}</p>`;
    const empty = !newest.items.length && this.pages?.length === 1;
    const unread = newest.unreadable.length;
    return html`
      ${newest.trouble ? html`<p class="note warn">${words.trouble(newest.trouble)}</p>` : nothing}
      ${empty ? html`<p>${this.asked.text ? words.nothingFound : words.nothing}</p>` : nothing}
      <p class="quiet">
        ${newest.block === null ? nothing : words.asOf(newest.block)}
        ${newest.waiting ? words.waiting(newest.waiting) : nothing}
        ${unread ? words.unread(unread) : nothing} ${empty ? nothing : words.hint}
      </p>`;
  }

  private list(): TemplateResult | typeof nothing {
    if (this.failed) return nothing;
    if (!this.pages)
      return html`<ul class="cards" aria-hidden="true">
        ${Array.from({ length: SKELETONS }, () => html`<li class="card empty"></li>`)}
      </ul>`;
    const shown = this.pages.reduce((sum, page) => sum + page.items.length, 0);
    const newest = this.pages.at(-1);
    const more = newest && newest.candidates > shown && newest.items.length === PAGE_ITEMS;
    const next = this.pages.length + 1;
    return html`<ul class="cards">
        ${this.pages.map((page) => page.items.map((item) => this.card(item, page)))}
      </ul>
      ${more ? html`<p><button @click=${() => this.load(next)}>${words.more}</button></p>` : nothing}`;
  }

  private card(item: ItemHint, page: Hints): TemplateResult {
    const store = page.stores.find((one) => one.seller === item.seller);
    const place = storePlace(this.key, item.seller);
    return html`<li class="card">
      <h2><a href="${place}/i/${item.itemId}" dir="auto">${item.title}</a></h2>
      <span class="price">${price(item.price, item.token, page.tokens)}</span>
      ${
        this.seller
          ? nothing
          : html`<a class="store" href=${place}>
              <bdi>${store?.name ? words.calls(store.name) : words.noName}</bdi>
              <span class="mono">${shortAddress(item.seller)}</span></a>`
      }
      <span class="quiet">${store ? rating(store) : nothing}</span>
      <span class="foot quiet">
        <span>${item.free ? words.left(item.free, item.supply) : words.soldOut}</span>
        <span class=${item.arbitrator ? '' : 'danger'}>
          ${item.arbitrator ? words.withArbitrator : words.noArbitrator}
        </span>
        ${item.backed ? nothing : html`<span class="danger">${words.notBacked}</span>`}
      </span>
    </li>`;
  }
}

customElements.define('dam-shop', Shop);
