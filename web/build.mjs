// Builds the page into src/dam/web/static, the same bytes from the same sources and packages.
//
//   node build.mjs            builds
//   node build.mjs --sums     builds, and writes the files' digests to dist.sha256
//   node build.mjs --out DIR  builds elsewhere
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const option = process.argv.indexOf('--out');
const out = option < 0 ? join(here, '../src/dam/web/static') : process.argv[option + 1];

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/ui/main.ts', 'seal.worker': 'src/work/seal.worker.ts' },
  outdir: out,
  chunkNames: '[name]-[hash]',
  splitting: true,
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  legalComments: 'none', // they stand in LICENSES
  logLevel: 'warning',
  minify: true,
  target: 'es2022',
});
await cp(join(here, 'static'), out, { recursive: true });

const names = (await readdir(out)).sort();
const sums = [];
for (const name of names) {
  const digest = createHash('sha256')
    .update(await readFile(join(out, name)))
    .digest('hex');
  sums.push(`${digest}  ${name}\n`);
}
if (process.argv.includes('--sums')) await writeFile(join(here, 'dist.sha256'), sums.join(''));
