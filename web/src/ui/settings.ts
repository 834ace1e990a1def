import { html, type TemplateResult } from 'lit';
import { Screen } from './base.js';
import type { Market } from './server.js';
import { words } from './words.js';

interface Health {
  sentence: string;
  well: boolean;
}

/** `#/settings`: the markets of the settings, and what the node says. */
export class SettingsScreen extends Screen {
  static override properties = { ...Screen.properties, health: { state: true } };
  declare health: Record<string, Health>;

  constructor() {
    super();
    this.health = {};
  }

  override connectedCallback(): void {
    super.connectedCallback();
    for (const market of this.context.markets) void this.look(market);
  }

  private async look(market: Market): Promise<void> {
    const { server } = this.context;
    let found: Health;
    try {
      const chain = Number(await server.call(market.key, 'eth_chainId'));
      const block = Number(await server.call(market.key, 'eth_blockNumber'));
      const wanted = market.record.chainId;
      const well = chain === wanted;
      found = {
        well,
        sentence: well ? words.nodeWell(chain, block) : words.nodeWrong(chain, wanted),
      };
    } catch (error) {
      found = { well: false, sentence: words.nodeAway((error as Error).message) };
    }
    this.health = { ...this.health, [market.key]: found };
  }

  override render(): TemplateResult {
    return html`<h1>${words.settings}</h1>
      <h2>${words.markets}</h2>
      ${this.context.markets.map((one) => this.market_(one))}`;
  }

  private market_({ key, name, record }: Market): TemplateResult {
    const health = this.health[key];
    return html`<section class="card">
      <h2>${name || words.marketName}</h2>
      <dl>
        <dt>${words.chain}</dt>
        <dd>${record.chainId}</dd>
        <dt>${words.address}</dt>
        <dd class="mono">${record.market}</dd>
        <dt>${words.profile}</dt>
        <dd>${record.profile}</dd>
        <dt>${words.governor}</dt>
        <dd class="mono">${/^0x0+$/.test(record.governor) ? words.nobody : record.governor}</dd>
        <dt>${words.node}</dt>
        <dd aria-live="polite" class=${health && !health.well ? 'danger' : ''}>
          ${health?.sentence ?? words.looking}
        </dd>
      </dl>
    </section>`;
  }
}

customElements.define('dam-settings', SettingsScreen);
