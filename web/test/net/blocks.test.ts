import { describe, expect, it } from 'vitest';
import { Cid, utf8 } from '../../src/core/index.js';
import { BlockMissing, Blocks, gateway } from '../../src/net/blocks.js';
import { serve } from './server.js';

const block = utf8('{"a":1}');
const cid = Cid.of('dag-json', block);

const honest = () =>
  serve((_, out) => {
    out.writeHead(200);
    out.end(block);
  });

describe('a block comes from the first source that has it', () => {
  it('as it is asked for, without a referrer or cookies', async () => {
    let asked: { url: string; headers: Record<string, string | undefined> } | undefined;
    const base = await serve((request, out) => {
      asked = request;
      out.writeHead(200);
      out.end(block);
    });
    const headers = { 'X-Dam-Token': 'secret' };
    const own = { name: 'dam web', url: (one: Cid) => `${base}/block/${one}`, headers };
    expect(await new Blocks([own]).get(cid)).toEqual(block);
    expect(asked?.url).toBe(`/block/${cid}`);
    expect(asked?.headers['x-dam-token']).toBe('secret');
    expect(asked?.headers.cookie).toBeUndefined();
    expect(asked?.headers.referer).toBeUndefined();
    await new Blocks([gateway(`${base}/`)]).get(cid);
    expect(asked?.url).toBe(`/ipfs/${cid}?format=raw`);
  });

  it.each([
    ['has not', (out: import('node:http').Outgoing) => out.writeHead(404), '404'],
    ['lies', (out: import('node:http').Outgoing) => out.end('{"a":2}'), 'not this block'],
    [
      'sends too much',
      (out: import('node:http').Outgoing) => out.write(new Uint8Array(3 << 20)),
      'over 1048576 bytes',
    ],
    [
      'redirects',
      (out: import('node:http').Outgoing) => out.writeHead(302, { Location: '/' }),
      'no answer',
    ],
  ])('where the one before %s', async (_, misbehave, reason) => {
    const bad = await serve((_asked, out) => {
      misbehave(out);
      out.end();
    });
    expect(await new Blocks([gateway(bad), gateway(await honest())]).get(cid)).toEqual(block);
    const failed = new Blocks([gateway(bad), gateway(bad)]).get(cid);
    await expect(failed).rejects.toThrow(BlockMissing);
    await expect(failed).rejects.toThrow('2 of 2 sources');
    await expect(failed).rejects.toThrow(reason);
  });

  it('where the one before stalls', async () => {
    const silent = await serve(() => undefined);
    const sources = [gateway(silent), gateway(await honest())];
    expect(await new Blocks(sources, { patienceMs: 20 }).get(cid)).toEqual(block);
    await expect(new Blocks([gateway(silent)], { timeoutMs: 50 }).get(cid)).rejects.toThrow(
      'took over 0.05 s',
    );
  });
});

it('asks a second source only when the first does not answer', async () => {
  let asked = 0;
  const second = await serve((_, out) => {
    asked++;
    out.end(block);
  });
  await new Blocks([gateway(await honest()), gateway(second)]).get(cid);
  expect(asked).toBe(0);
});

it('stops when it is told to', async () => {
  const stop = new AbortController();
  const waiting = new Blocks([gateway(await serve(() => undefined))]).get(cid, stop.signal);
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
