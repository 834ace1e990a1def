// A real HTTP server on loopback, that answers as a test says.

import { createServer, type Incoming, type Outgoing } from 'node:http';
import { onTestFinished } from 'vitest';

export async function serve(
  answer: (asked: Incoming, out: Outgoing) => void | Promise<void>,
): Promise<string> {
  const server = createServer((asked, out) => void answer(asked, out));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
