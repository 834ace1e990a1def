// Gives verdicts on what Python made up: a JSON line in, a line out (tests/unit/test_verdicts.py).

import { createInterface } from 'node:readline';
import * as dam from '../src/core/index.js';

interface Asked {
  kind: string;
  /** Bytes in hex, or a text. */
  given: string;
  log?: dam.RawLog;
  market?: string;
  place?: { chainId: number; market: string; seller: string; digest: string; root: string };
  blocks?: Record<string, string>;
}

const readers: Record<string, (asked: Asked) => unknown> = {
  block: ({ given }) => dam.toHex(dam.encodeJson(dam.decodeBlock(dam.fromHex(given)))),
  file: ({ given }) => dam.toHex(dam.encodeJson(dam.decodeFile(dam.fromHex(given)))),
  record: ({ given }) => dam.toHex(dam.encodeRecord(dam.decodeRecord(dam.fromHex(given)))),
  id: ({ given }) => dam.identifier(given, 'x'),
  line: ({ given }) => dam.line(given, 'x'),
  text: ({ given }) => dam.text(given, 'x', 4096),
  address: ({ given }) => dam.parseAddress(given),
  cid: ({ given }) => dam.Cid.parse(given).toString(),
  log: ({ log, market }) => dam.decodeLog(log as dam.RawLog, market as string).name,
  store: async ({ place, blocks }) => {
    const get = async (cid: dam.Cid) => dam.fromHex(blocks?.[cid.toString()] ?? '0x');
    const { digest, root, ...where } = place as NonNullable<Asked['place']>;
    const hashes = { digest: dam.fromHex(digest), root: dam.fromHex(root) };
    const store = await dam.readStore(get, { ...where, ...hashes }, { whole: true });
    return store.items.map(({ sections }) => sections.map(({ parts }) => Boolean(parts)));
  },
};

for await (const row of createInterface({ input: process.stdin })) {
  const asked: Asked = JSON.parse(row);
  let found: unknown = null;
  try {
    found = await readers[asked.kind]?.(asked);
  } catch (error) {
    if (!(error instanceof dam.Malformed)) found = { crash: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ found })}\n`);
}
