import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as dam from '../../src/core/index.js';

interface Parameter {
  name: string;
  type: string;
  indexed?: boolean;
  components?: Parameter[];
}
interface Entry {
  type: string;
  name: string;
  inputs: Parameter[];
  outputs?: Parameter[];
}

const file = new URL('../../../src/dam/abi/Marketplace.json', import.meta.url);
const compiled: Entry[] = JSON.parse(new TextDecoder().decode(readFileSync(file)));

/** Names and types, of structs' fields, too. */
function spelled(type: dam.Type): string {
  if (type.kind === 'list') return `${spelled(type.of)}[]`;
  if (type.kind !== 'struct') return dam.canonicalType(type);
  return `(${type.fields.map((field) => `${spelled(field.type)} ${field.name}`).join(',')})`;
}

function ours(fields: readonly dam.Field[]): string[] {
  return fields.map(({ type, name, indexed }) => `${spelled(type)} ${indexed} ${name}`);
}

function theirs(parameters: Parameter[] = []): string[] {
  const type = (one: Parameter): string => {
    if (!one.components) return one.type;
    const fields = one.components.map((inner) => `${type(inner)} ${inner.name}`);
    return `(${fields.join(',')})${one.type.slice('tuple'.length)}`;
  };
  return parameters.map((one, i) => `${type(one)} ${one.indexed ?? false} ${one.name || i}`);
}

describe.each([
  ['function', dam.functions],
  ['event', dam.events],
  ['error', dam.errors],
])('every %s is that of the compiler', (kind, table) => {
  const wanted = compiled.filter(({ type }) => type === kind);

  it('by number', () => {
    expect(table.size).toBe(wanted.length);
  });

  it.each(wanted)('$name', ({ name, inputs, outputs }) => {
    const found = [...table.values()].find((one) => one.name === name);
    expect(found && ours(found.inputs)).toEqual(theirs(inputs));
    expect(found && ours(found.outputs)).toEqual(theirs(outputs));
  });
});
