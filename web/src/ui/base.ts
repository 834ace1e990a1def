// What the elements share: no shadow root, for one stylesheet and one tree for screen readers.
import { LitElement } from 'lit';
import type { KeptPurchase } from '../keep/purchases.js';
import type { Market, Server } from './server.js';
import type { Session } from './session.js';

export interface Context {
  server: Server;
  markets: Market[];
  session: Session;
}

/** The address of a store's screen; `key` is its market's. */
export function storePlace(key: string, seller: string): string {
  return `#/s/${key.replace('-', '/')}/${seller}`;
}

export abstract class Screen extends LitElement {
  static override properties = { context: { attribute: false } };
  declare context: Context;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected market(key: string): Market | undefined {
    return this.context.markets.find((one) => one.key === key);
  }

  protected marketOf({ record }: KeptPurchase): Market | undefined {
    return this.market(`${record.chainId}-${record.market.toLowerCase()}`);
  }
}
