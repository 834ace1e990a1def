import { html, nothing, type TemplateResult } from 'lit';
import { type Item, reserveOf, toHex, ZERO_ADDRESS } from '../core/index.js';
import { decimal, price, shortAddress } from './amounts.js';
import { Screen, storePlace } from './base.js';
import { type Chain, documentCid, type Reading, type Supply } from './chain.js';
import { rating } from './rating.js';
import type { StoreHint, Token } from './server.js';
import { words } from './words.js';

export function priceOf({ terms }: Item, tokens: readonly Token[]): string {
  return price(terms.price.toString(), terms.token, tokens);
}

/** One good of a store that was checked: what it costs, and what you risk. */
export class ItemScreen extends Screen {
  static override properties = {
    ...Screen.properties,
    chain: { attribute: false },
    reading: { attribute: false },
    item: { attribute: false },
    record: { attribute: false },
    tokens: { attribute: false },
    supply: { state: true },
    paying: { state: true },
    knows: { state: true },
    problem: { state: true },
  };
  declare chain: Chain;
  declare reading: Reading & { kind: 'checked' };
  declare item: Item;
  declare record: StoreHint | null;
  declare tokens: Token[];
  declare supply: Supply | null;
  declare paying: boolean;
  /** That nobody decides: asked for where it is so. */
  declare knows: boolean;
  declare problem: string;

  constructor() {
    super();
    this.supply = null;
    this.paying = false;
    this.knows = false;
    this.problem = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.chain.supply(this.reading.store.place.seller, this.item).then(
      (found) => {
        this.supply = found;
      },
      () => undefined, // the line stays empty: nothing is promised that nobody counted
    );
  }

  override render(): TemplateResult {
    const { item, reading } = this;
    const { seller } = reading.store.place;
    const store = storePlace(this.chain.market.key, seller);
    return html`<div class="item">
      <div class="head">
        <h1 dir="auto">${item.title}</h1>
        <p>
          <a class="store" href=${store}>
            <bdi>${words.calls(reading.store.name)}</bdi>
            <span class="mono">${shortAddress(seller)}</span></a
          >
        </p>
        <p class="quiet">${this.record ? rating(this.record) : words.notRated}</p>
        <p class="price">${priceOf(item, this.tokens)}</p>
        <p class="quiet" aria-live="polite">${this.left()}</p>
      </div>
      ${this.risk()} ${this.about()}
    </div>`;
  }

  private left(): string {
    const { supply, item, reading } = this;
    if (!supply) return '';
    if (reading.freeStake < reserveOf(item.terms)) return words.notBacked;
    if (!supply.free) return words.soldOut;
    return supply.exact ? words.left(supply.free, supply.looked) : words.available;
  }

  private risk(): TemplateResult {
    const { terms } = this.item;
    const windows = this.chain.market.record.windows;
    const nobody = terms.arbitrator === ZERO_ADDRESS;
    const until = words.moment(Number(this.reading.time) + windows.refundSeconds);
    return html`<section class="note risk" aria-labelledby="risk-head">
      <h2 id="risk-head">${words.risk}</h2>
      <p><strong>${words.youPay}</strong> ${priceOf(this.item, this.tokens)} ${words.andGas}</p>
      <p>
        <strong>${words.notHere(until)}</strong> ${words.backAndMore(decimal(terms.penalty, 18))}
      </p>
      <p>
        <strong>${words.wrong}</strong> ${words.complain(words.span(windows.disputeSeconds))}
        ${
          nobody
            ? html`<span class="danger">${words.nobodyDecides}</span>`
            : html`${words.decides} <span class="mono">${terms.arbitrator}</span>`
        }
      </p>
      <p>${words.anyOf(terms.threshold, terms.parts)}</p>
      ${this.buy()}
    </section>`;
  }

  private buy(): TemplateResult {
    const { item, reading, supply, chain } = this;
    if (item.terms.token !== ZERO_ADDRESS)
      return html`<p class="quiet">${words.buyByCommand}</p>
        <p><code>dam buyer buy ${reading.store.place.seller} ${item.name}</code></p>`;
    const nobody = item.terms.arbitrator === ZERO_ADDRESS;
    const canBe = supply?.free && reading.freeStake >= reserveOf(item.terms);
    const price = priceOf(item, this.tokens);
    return html`${
      nobody
        ? html`<label class="tick">
            <input type="checkbox" @change=${this.tick} /> <span>${words.knowsNobody}</span>
          </label>`
        : nothing
    }
      <p>
        <button class="main" ?disabled=${!canBe || (nobody && !this.knows)} @click=${this.startPaying}>
          ${words.buyFor(price)}
        </button>
      </p>
      ${this.problem ? html`<p class="note warn" role="alert">${this.problem}</p>` : nothing}
      ${
        this.paying
          ? html`<dam-pay
              .context=${this.context}
              .offer=${{ chain, reading, item }}
              .price=${price}
              @closed=${this.stopPaying}
            ></dam-pay>`
          : nothing
      }`;
  }

  private tick(event: Event): void {
    this.knows = (event.target as HTMLInputElement).checked;
  }

  private async startPaying(): Promise<void> {
    try {
      await import('./pay.js');
      this.problem = '';
      this.paying = true;
    } catch {
      this.problem = words.noServer; // which has the dialog's file
    }
  }

  private async stopPaying(): Promise<void> {
    this.paying = false;
    await this.updateComplete;
    this.querySelector<HTMLElement>('.risk button.main')?.focus();
  }

  private about(): TemplateResult {
    const { about, terms, name } = this.item;
    const { reading } = this;
    const rows: [string, string | undefined][] = [
      [words.kind, about.kind],
      [words.language, about.language],
      [words.licence, about.licence],
      [words.fileName, about.fileName],
      [words.fileType, about.mediaType],
      [words.itemName, name],
      [words.itemHash, toHex(terms.itemId)],
      [words.deliverersEarn, `${decimal(terms.commission, 18)} ETH`],
      [words.document, documentCid(reading.digest)],
    ];
    return html`<section>
      ${about.description ? html`<p class="text" dir="auto">${about.description}</p>` : nothing}
      <p class="quiet">${words.checked(reading.blocks, Number(reading.at))}</p>
      <details>
        <summary>${words.details}</summary>
        <dl>
          ${rows.map(([key, value]) =>
            value === undefined
              ? nothing
              : html`<dt>${key}</dt>
                  <dd dir="auto">${value}</dd>`,
          )}
        </dl>
      </details>
    </section>`;
  }
}

customElements.define('dam-item', ItemScreen);
