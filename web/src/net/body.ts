// An answer's body, capped while it streams: who answers is not trusted to say how long it is.

/** Somebody was asked, and there is no answer that can be used: try another, or later. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Ask {
  fetch?: Fetch;
  headers?: Record<string, string>;
  /** For the whole answer. */
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

/** The bytes of an answer with status 200, without cookies, redirects or a referrer. */
export async function askBytes(url: string, init: RequestInit, ask: Ask): Promise<Uint8Array> {
  const ended = AbortSignal.timeout(ask.timeoutMs);
  const signal = ask.signal ? AbortSignal.any([ended, ask.signal]) : ended;
  try {
    const response = await (ask.fetch ?? fetch)(url, {
      ...init,
      headers: { ...(init.headers as Record<string, string>), ...ask.headers },
      redirect: 'error',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Unreachable(`answered ${response.status}`);
    }
    return await capped(response, ask.maxBytes);
  } catch (error) {
    if (ask.signal?.aborted) throw ask.signal.reason;
    if (error instanceof Unreachable) throw error;
    throw new Unreachable(ended.aborted ? `took over ${ask.timeoutMs / 1000} s` : 'gave no answer');
  }
}

async function capped(response: Response, maxBytes: number): Promise<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return new Uint8Array();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > maxBytes) {
      await reader.cancel();
      throw new Unreachable(`answered over ${maxBytes} bytes`);
    }
    pieces.push(value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
