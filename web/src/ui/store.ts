import { html, type TemplateResult } from 'lit';
import { fromHex, parseAddress, toHex } from '../core/index.js';
import { shortAddress } from './amounts.js';
import { Screen, storePlace } from './base.js';
import { Chain, documentCid, type Reading } from './chain.js';
import { priceOf } from './item.js';
import { rating } from './rating.js';
import type { Market, StoreHint, Token } from './server.js';
import { words } from './words.js';

/** `#/s/<chain>/<market>/<seller>` and `.../i/<itemId>`: a store, once the chain vouches for it. */
export class StoreScreen extends Screen {
  static override properties = {
    ...Screen.properties,
    market_: { attribute: false },
    seller: { attribute: false },
    item: { attribute: false },
    reading: { state: true },
    record: { state: true },
    failed: { state: true },
  };
  declare market_: Market;
  declare seller: string;
  /** Hash of an item's id; empty: the whole store. */
  declare item: string;
  declare reading: Reading | null;
  declare record: StoreHint | null;
  declare failed: string;
  private tokens: Token[] = [];
  private chain: Chain | undefined;

  constructor() {
    super();
    this.item = '';
    this.reading = null;
    this.record = null;
    this.failed = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private async load(): Promise<void> {
    const { server } = this.context;
    this.reading = null;
    this.failed = '';
    try {
      const seller = parseAddress(this.seller);
      this.chain = new Chain(server, this.market_);
      const hints = server.hints(this.market_.key, { seller });
      this.reading = await this.chain.read(seller, hints);
      const found = await hints;
      this.tokens = found.tokens;
      this.record = found.stores[0] ?? null;
    } catch (error) {
      this.failed = (error as Error).message;
    }
  }

  override render(): TemplateResult {
    if (this.failed) return this.stop(words.storeAway(this.failed));
    const { reading } = this;
    if (!reading) return html`<p class="quiet" aria-live="polite">${words.checking}</p>`;
    if (reading.kind === 'missing') return this.stop(words.storeMissing(reading.why));
    if (reading.kind === 'broken') return this.stop(words.storeBroken(reading.why), false);
    if (reading.kind !== 'checked') return this.stop(words.storeStates[reading.kind]);
    const item = this.item ? reading.store.item(fromHex(this.item)) : undefined;
    if (this.item && !item) return this.stop(words.noItem);
    return item
      ? html`<dam-item
          .context=${this.context}
          .chain=${this.chain}
          .reading=${reading}
          .item=${item}
          .record=${this.record}
          .tokens=${this.tokens}
        ></dam-item>`
      : this.whole(reading);
  }

  private stop(sentence: string, again = true): TemplateResult {
    return html`<h1>${words.store}</h1>
      <p class="mono">${this.seller}</p>
      <p class="note warn" role="alert">${sentence}</p>
      ${again ? html`<p><button @click=${() => this.load()}>${words.lookAgain}</button></p>` : ''}`;
  }

  private whole(reading: Reading & { kind: 'checked' }): TemplateResult {
    const { store } = reading;
    const place = storePlace(this.market_.key, this.seller);
    return html`<h1><span class="quiet">${words.callsItself}</span> <bdi>${store.name}</bdi></h1>
      <p class="mono">${this.seller}</p>
      <p>${this.record ? rating(this.record) : words.notRated}</p>
      ${checked(reading)}
      <ul class="cards">
        ${store.items.map(
          (item) => html`<li class="card">
            <h2>
              <a href="${place}/i/${toHex(item.terms.itemId)}" dir="auto">${item.title}</a>
            </h2>
            <span class="price">${priceOf(item, this.tokens)}</span>
            <span class="quiet" dir="auto">${item.about.summary ?? ''}</span>
          </li>`,
        )}
      </ul>`;
  }
}

/** What was checked, and where it stood. */
function checked(reading: Reading & { kind: 'checked' }): TemplateResult {
  return html`<p class="quiet">
    ${words.checked(reading.blocks, Number(reading.at))}
    <span class="mono">${shortAddress(documentCid(reading.digest))}</span>
  </p>`;
}

customElements.define('dam-store', StoreScreen);
