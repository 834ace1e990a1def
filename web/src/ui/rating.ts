import type { StoreHint } from './server.js';
import { words } from './words.js';

/** Stars with refunds beside them: stars alone hide what did not arrive. */
export function rating(store: StoreHint): string {
  const stars = store.tenths === null ? words.notRated : words.stars(store.tenths, store.ratings);
  return store.refunds ? `${stars}, ${words.refunds(store.refunds)}` : stars;
}
