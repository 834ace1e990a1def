import { describe, expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';
import { Unreachable } from '../../src/net/body.js';
import { HttpTransport, ProviderTransport, Rpc, RpcError } from '../../src/net/rpc.js';
import { serve } from './server.js';

const MARKET = dam.checksum(dam.keccak(dam.utf8('market')).slice(0, 20));
const SELLER = dam.checksum(dam.keccak(dam.utf8('seller')).slice(0, 20));

type Call = { id: number; method: string; params: unknown[] };
type Answer = (call: Call) => object | undefined;

/** A node that answers each call as told, and the requests that came. */
async function node(answer: Answer, sizes: number[] = []): Promise<Rpc> {
  const url = await serve(async (asked, out) => {
    let body = '';
    for await (const piece of asked) body += new TextDecoder().decode(piece);
    const request = JSON.parse(body);
    const calls: Call[] = Array.isArray(request) ? request : [request];
    sizes.push(calls.length);
    const replies = calls.flatMap((call) => {
      const reply = answer(call);
      return reply ? [{ jsonrpc: '2.0', id: call.id, ...reply }] : [];
    });
    // The order of a batch's answers is the node's affair.
    replies.reverse();
    out.writeHead(200, { 'Content-Type': 'application/json' });
    out.end(JSON.stringify(Array.isArray(request) ? replies : replies[0]));
  });
  return new Rpc(new HttpTransport(url, { batch: 3 }), MARKET);
}

const hex = (number: number) => `0x${number.toString(16)}`;
const word = (value: number) => dam.toHex(dam.uint(value, 32));

function settled(block: number, index = 0): Record<string, unknown> {
  return {
    address: MARKET.toLowerCase(),
    topics: [dam.topics.get('SaleSettled'), word(7), `0x${'00'.repeat(12)}${SELLER.slice(2)}`],
    data: '0x',
    blockNumber: hex(block),
    blockHash: word(block),
    transactionHash: word(block + index),
    logIndex: hex(index),
  };
}

describe('calls', () => {
  it('go in batches, and each gets its own answer or error', async () => {
    const sizes: number[] = [];
    const rpc = await node(({ params: [number] }) => {
      if (number === 3) return { error: { code: -32000, message: 'no' } };
      return number === 4 ? undefined : { result: number };
    }, sizes);
    const calls = [0, 1, 2, 3, 4].map((number) => ['eth_x', [number]] as const);
    const found = await rpc.batch(calls);
    expect(sizes).toEqual([3, 2]);
    expect(found.slice(0, 3)).toEqual([0, 1, 2]);
    expect(found[3]).toBeInstanceOf(RpcError);
    expect(found[4]).toBeInstanceOf(RpcError);
    await expect(rpc.call('eth_x', 3)).rejects.toThrow('no');
  });

  it('tell what the contract refused', async () => {
    const refusal = [...dam.errors].find(([, one]) => one.name === 'Underpaid')?.[0];
    const data = refusal + word(1).slice(2) + word(2).slice(2);
    const rpc = await node(() => ({ error: { code: 3, message: 'execution reverted', data } }));
    const error = await rpc.view('clock').catch((one) => one);
    expect(error.revert).toEqual({ name: 'Underpaid', args: { paid: 1n, price: 2n } });
  });

  it('read views by the names of their outputs', async () => {
    let asked: unknown;
    const rpc = await node(({ params }) => {
      asked = params;
      return { result: word(5) + word(6).slice(2) };
    });
    expect(await rpc.view('clock')).toEqual({ blockNumber: 5n, timestamp: 6n });
    const data = dam.toHex(dam.encodeCall('clock'));
    expect(asked).toEqual([{ to: MARKET, data }, 'latest']);
    await expect(rpc.view('sellerStakes', { seller: SELLER })).rejects.toThrow(dam.Malformed);
  });

  it('go through a wallet as well', async () => {
    const provider = {
      request: async ({ method }: { method: string }) => {
        if (method === 'eth_bad') throw { code: 4001, message: 'rejected' };
        return '0x7';
      },
    };
    const rpc = new Rpc(new ProviderTransport(provider), MARKET);
    expect(await rpc.quantity('eth_blockNumber')).toBe(7n);
    await expect(rpc.call('eth_bad')).rejects.toMatchObject({ code: 4001 });
  });

  it('fail where nobody answers', async () => {
    const url = await serve((_, out) => {
      out.writeHead(429);
      out.end();
    });
    const rpc = new Rpc(new HttpTransport(url), MARKET);
    await expect(rpc.call('eth_x')).rejects.toThrow(Unreachable);
    await expect(rpc.call('eth_x')).rejects.toThrow('429');
  });
});

describe('logs', () => {
  it('come whole and in order, in ranges that the node takes', async () => {
    const asked: number[] = [];
    const rpc = await node(({ params: [filter] }) => {
      const { fromBlock, toBlock } = filter as { fromBlock: string; toBlock: string };
      const [from, to] = [Number(fromBlock), Number(toBlock)];
      asked.push(to - from + 1);
      if (to - from + 1 > 30) return { error: { code: -32005, message: 'too much' } };
      const all = [settled(12, 1), settled(12, 0), settled(99)];
      return {
        result: all.filter(
          (log) => Number(log.blockNumber) >= from && Number(log.blockNumber) <= to,
        ),
      };
    });
    const progress: number[] = [];
    const found = await rpc.logs({
      from: 1,
      to: 100,
      range: 100,
      onProgress: (done) => progress.push(done),
    });
    expect(found.map(({ block, index }) => [block, index])).toEqual([
      [12, 0],
      [12, 1],
      [99, 0],
    ]);
    expect(progress.at(-1)).toBe(100);
    expect(Math.min(...asked)).toBeGreaterThan(4);
    expect(found[0]?.args.by).toBe(SELLER);
  });

  it('fail where the node refuses a single block', async () => {
    const rpc = await node(() => ({ error: { code: -32000, message: 'pruned' } }));
    await expect(rpc.logs({ from: 1, to: 8 })).rejects.toThrow('pruned');
  });

  it.each([
    ['of another contract', { address: SELLER }],
    ['of another block', { blockNumber: hex(9) }],
    ['that was removed', { removed: true }],
    ['with a word of data too many', { data: word(1) }],
    [
      'with dirty padding',
      { topics: [...(settled(3).topics as string[]).slice(0, 2), word(0).replace('0x0', '0x1')] },
    ],
    ['without a topic', { topics: (settled(3).topics as string[]).slice(0, 2) }],
    ['without a place', { logIndex: null }],
  ])('refuse one %s', async (_, change) => {
    const rpc = await node(() => ({ result: [{ ...settled(3), ...change }] }));
    await expect(rpc.logs({ from: 3, to: 3 })).rejects.toThrow(dam.Malformed);
  });

  it('refuse two in one place, and two blocks of one number', async () => {
    const twice = await node(() => ({ result: [settled(3), settled(3)] }));
    await expect(twice.logs({ from: 3, to: 3 })).rejects.toThrow('two logs in one place');
    const forked = await node(() => ({
      result: [settled(3), { ...settled(3, 1), blockHash: word(4) }],
    }));
    await expect(forked.logs({ from: 3, to: 3 })).rejects.toThrow('logs of two blocks');
  });
});
