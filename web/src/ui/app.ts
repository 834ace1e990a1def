import { html, nothing, type TemplateResult } from 'lit';
import { keyed } from 'lit/directives/keyed.js';
import { type Context, Screen } from './base.js';
import { Server, ServerError, takeToken } from './server.js';
import { Session } from './session.js';
import { words } from './words.js';
import './settings.js';
import './shop.js';
import './wallet.js';

const STORE =
  /^#\/s\/([1-9]\d{0,15})\/(0x[0-9a-f]{40})\/(0x[0-9a-fA-F]{40})(?:\/i\/(0x[0-9a-f]{64}))?$/;

const PURCHASE = /^#\/p\/(0x[0-9a-f]{64}-\d{1,10})$/;

/** Screens that the first view does without come when they are wanted. */
async function load(place: string): Promise<void> {
  if (STORE.test(place)) await import('./store.js');
  else if (place === '#/keys') await import('./keys.js');
  else if (place === '#/mine') await import('./library.js');
  else if (PURCHASE.test(place)) await import('./purchase.js');
}

/** The frame: the bar at the top, and the screen that the address names. */
export class App extends Screen {
  static override properties = {
    ...Screen.properties,
    place: { state: true },
    problem: { state: true },
  };
  declare place: string;
  declare problem: string;

  constructor() {
    super();
    this.place = '';
    this.problem = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.begin();
    addEventListener('hashchange', this.moved);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('hashchange', this.moved);
  }

  private async begin(): Promise<void> {
    const token = takeToken(location, sessionStorage, history);
    if (!token) {
      this.problem = words.noToken;
      return;
    }
    const server = new Server(token);
    try {
      const session = new Session();
      this.context = { server, markets: await server.markets(), session } satisfies Context;
      await this.go();
    } catch (error) {
      const lost = error instanceof ServerError && error.kind === 'token';
      this.problem = lost ? words.wrongToken : words.noServer;
    }
  }

  private readonly moved = async (): Promise<void> => {
    if (/^#t=/.test(location.hash)) {
      this.problem = '';
      await this.begin(); // the address of another start, pasted into this tab
      return;
    }
    await this.go();
    await this.updateComplete;
    scrollTo(0, 0);
    this.querySelector<HTMLElement>('main')?.focus();
  };

  private async go(): Promise<void> {
    const place = location.hash || '#/';
    try {
      await load(place);
    } catch {
      this.problem = words.noServer; // which has the screen's file
      return;
    }
    if (place === (location.hash || '#/')) this.place = place;
  }

  override render(): TemplateResult {
    return html`<a class="skip" href="#content" @click=${this.skip}>${words.skip}</a>
      <nav class="top" aria-label=${words.name}>
        <a class="home" href="#/">${words.name}</a>
        ${this.link('#/', words.shop)} ${this.link('#/mine', words.library)} ${this.link('#/keys', words.keys)} ${this.link('#/settings', words.settings)}
        ${this.context ? html`<dam-wallet .context=${this.context}></dam-wallet>` : nothing}
      </nav>
      <main id="content" tabindex="-1">${this.screen()}</main>`;
  }

  private skip(event: Event): void {
    event.preventDefault();
    this.querySelector<HTMLElement>('main')?.focus();
  }

  private link(to: string, name: string): TemplateResult {
    const here = this.place === to;
    return html`<a href=${to} aria-current=${here ? 'page' : nothing}>${name}</a>`;
  }

  private screen(): TemplateResult {
    if (this.problem) return html`<h1>${words.name}</h1><p class="note warn">${this.problem}</p>`;
    if (!this.place) return html`<p class="quiet" aria-live="polite">${words.looking}</p>`;
    const { context } = this;
    if (this.place === '#/') return html`<dam-shop .context=${context}></dam-shop>`;
    if (this.place === '#/keys') return html`<dam-keys .context=${context}></dam-keys>`;
    if (this.place === '#/mine') return html`<dam-library .context=${context}></dam-library>`;
    const purchase = PURCHASE.exec(this.place)?.[1];
    if (purchase)
      return html`${keyed(
        purchase,
        html`<dam-purchase .context=${context} .purchase=${purchase}></dam-purchase>`,
      )}`;
    if (this.place === '#/settings') return html`<dam-settings .context=${context}></dam-settings>`;
    const store = STORE.exec(this.place);
    const market = store && this.market(`${store[1]}-${store[2]}`);
    if (store && market)
      return html`${keyed(
        this.place,
        html`<dam-store
          .context=${context}
          .market_=${market}
          .seller=${store[3]}
          .item=${store[4] ?? ''}
        ></dam-store>`,
      )}`;
    if (store) return html`<p class="note warn">${words.unknownMarket}</p>`;
    return html`<h1>${words.name}</h1><p>${words.notFound}</p>`;
  }
}

customElements.define('dam-app', App);
