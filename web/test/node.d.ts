// The little of Node that the tests use.
declare module 'node:fs' {
  export function readFileSync(path: URL | string): Uint8Array;
}
declare module 'node:http' {
  interface Incoming extends AsyncIterable<Uint8Array> {
    url: string;
    headers: Record<string, string | undefined>;
  }
  interface Outgoing {
    writeHead(status: number, headers?: Record<string, string>): void;
    write(data: Uint8Array | string): void;
    end(data?: Uint8Array | string): void;
  }
  interface Server {
    listen(port: number, host: string, then: () => void): void;
    address(): { port: number };
    closeAllConnections(): void;
    close(): void;
  }
  export function createServer(answer: (asked: Incoming, out: Outgoing) => void): Server;
}
declare module 'node:readline' {
  export function createInterface(from: { input: unknown }): AsyncIterable<string>;
}
declare const process: { stdin: unknown; stdout: { write(text: string): void } };
