import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const json = (name: string) =>
  JSON.parse(new TextDecoder().decode(readFileSync(new URL(`../${name}`, import.meta.url))));
const wanted = json('package.json');
const locked: [string, { license?: string; dev?: boolean; resolved?: string }][] = Object.entries(
  json('package-lock.json').packages,
).filter(([path]) => path) as never;

const SHIPPED = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Apache-2.0']);
/** Of what checks and builds, too: it is not in what we hand out. */
const TOOLS = new Set([...SHIPPED, 'MPL-2.0', 'MIT OR Apache-2.0']);

it('ships under licences that go with ours', () => {
  for (const [path, { license, dev }] of locked) {
    expect((dev ? TOOLS : SHIPPED).has(license ?? ''), `${path}: ${license}`).toBe(true);
  }
});

it('ships at most twelve packages', () => {
  expect(locked.filter(([, { dev }]) => !dev).length).toBeLessThanOrEqual(12);
});

it('pins each package, and names no registry', () => {
  const versions = Object.values({ ...wanted.dependencies, ...wanted.devDependencies });
  for (const version of versions) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(locked.filter(([, { resolved }]) => resolved)).toEqual([]);
});
