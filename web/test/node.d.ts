// The little of Node that the tests use.
declare module 'node:fs' {
  export function readFileSync(path: URL | string): Uint8Array;
}
