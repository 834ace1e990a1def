// What the elements share: no shadow root, for one stylesheet and one tree for screen readers.
import { LitElement } from 'lit';
import type { Market, Server } from './server.js';
import type { Session } from './session.js';

export interface Context {
  server: Server;
  markets: Market[];
  session: Session;
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
}
