// The npm build of solc behind the native compiler's two commands that Ape, forge and slither use.
"use strict";
const fs = require("fs");
const path = require("path");

// Answering --version without loading 8 MB of wasm matters: Ape asks several times per compilation.
const VERSION = "0.8.30+commit.73712a01";
const WITH_VALUE = new Set(["--base-path", "--include-path", "--allow-paths"]);

const args = process.argv.slice(2);
const roots = [];
const inputs = [];
let mode;
for (let i = 0; i < args.length; i++) {
  const [name, inline] = args[i].split(/=(.*)/s);
  if (WITH_VALUE.has(name)) {
    const value = inline ?? args[++i];
    if (value === undefined) fail(`${name} needs a value`);
    if (name !== "--allow-paths") roots.push(path.resolve(value));
  } else if (name === "--version" || name === "--standard-json") {
    mode = mode ?? name;
  } else if (name.startsWith("--")) {
    // py-solc-x tells "unrecognised option" from other failures by this wording.
    fail(`unrecognised option '${name}'`);
  } else if (args[i] !== "-") {
    inputs.push(args[i]);
  }
}

// Ape compiles a copy of contracts/ in a temporary folder: node_modules is found from here.
roots.push(path.resolve(__dirname, ".."));

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

// Sources that the input does not carry are read below the roots given, and nowhere else.
function readSource(name) {
  for (const root of roots) {
    const file = path.resolve(root, name);
    const inside = path.relative(root, file);
    if (inside.startsWith("..") || path.isAbsolute(inside)) continue;
    if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
  }
  return { error: "File not found inside the base path or any of the include paths." };
}

if (mode === "--version") {
  process.stdout.write(
    `solc, the solidity compiler commandline interface\nVersion: ${VERSION}.Emscripten.clang\n`,
  );
} else if (mode === "--standard-json") {
  const solc = require("solc");
  if (!solc.version().startsWith(VERSION)) {
    fail(`node_modules has solc ${solc.version()}, not ${VERSION}: run make setup`);
  }
  const input = fs.readFileSync(inputs[0] ?? 0, "utf8");
  // A synchronous write to a pipe that its reader drains slowly would fail with EAGAIN.
  process.stdout.write(solc.compile(input, roots.length ? { import: readSource } : undefined) + "\n");
} else {
  fail("this solc answers --version and --standard-json only");
}
