import { describe, expect, it } from 'vitest';
import { findViolations } from '../scripts/check-imports.ts';

/** Violations in source files that hold no more than these statements. */
const violationsIn = (files: Readonly<Record<string, string>>): string[] =>
  findViolations(new Map(Object.entries(files)));

describe('the check of imports', () => {
  it('finds nothing in imports that go down', () => {
    expect(
      violationsIn({
        'programs/identity.ts': "import { provider } from '../identity/endpoint/provider.ts';",
        'identity/endpoint/provider.ts': "import Provider from 'oidc-provider';\nimport './page.js';",
        'identity/endpoint/page.js': '',
        'identity/account/login.ts': "import type { Store } from '../store/store.ts';",
        'identity/store/store.ts': "import { Kysely } from 'kysely';\nimport { join } from 'node:path';",
        'envoy/check-call.ts': "import { check } from '../check/check.ts';\nimport { own } from './own.ts';",
        'runtime/version.ts': "import manifest from '../../package.json' with { type: 'json' };",
      }),
    ).toEqual([]);
  });

  it('finds a circle of files', () => {
    expect(
      violationsIn({
        'check/a.ts': "import { b } from './b.ts';",
        'check/b.ts': "import { c } from './c.ts';",
        'check/c.ts': "import { a } from './a.ts';",
      }),
    ).toEqual(['circle: check/a.ts -> check/b.ts -> check/c.ts -> check/a.ts']);
  });

  it('finds a circle of types alone, and a file that imports itself', () => {
    expect(
      violationsIn({
        'check/a.ts': "import type { B } from './b.ts';",
        'check/b.ts': "export type B = import('./a.ts').A;",
        'check/c.ts': "import { c } from './c.ts';",
      }),
    ).toEqual(['circle: check/a.ts -> check/b.ts -> check/a.ts', 'circle: check/c.ts -> check/c.ts']);
  });

  it('finds a circle of folders that is none of files', () => {
    expect(
      violationsIn({
        'identity/endpoint/a.ts': "import { b } from '../session/b.ts';",
        'identity/session/c.ts': "import { d } from '../endpoint/d.ts';",
      }),
    ).toContain('circle: identity/endpoint -> identity/session -> identity/endpoint');
  });

  it.each([
    ['an import', "import { runIdentity } from '../programs/identity.ts';"],
    ['an import of a type', "import type { Identity } from '../programs/identity.ts';"],
    ['an import of several lines', "import {\n  one,\n  two,\n} from '../programs/identity.ts';"],
    ['an import at run time', "const load = () => import('../programs/identity.ts');"],
    ['an import without names', "import '../programs/identity.ts';"],
    ['an export of what is imported', "export { one } from '../programs/identity.ts';"],
  ])('finds %s that goes up', (_, statement) => {
    expect(violationsIn({ 'command/user.ts': statement })).toEqual([
      'src/command/user.ts imports src/programs/identity.ts: not allowed',
    ]);
  });

  it('finds an import that goes up inside identity', () => {
    expect(
      violationsIn({ 'identity/store/key-store.ts': "import type { Key } from '../key/key-ring.ts';" }),
    ).toEqual(['src/identity/store/key-store.ts imports src/identity/key/key-ring.ts: not allowed']);
  });

  it('allows nothing to a room that is not in the table', () => {
    expect(violationsIn({ 'attic/a.ts': "import { log } from '../runtime/log.ts';" })).toEqual([
      'src/attic/a.ts imports src/runtime/log.ts: not allowed',
    ]);
  });

  it.each([
    ['@grpc/grpc-js', 'envoy/check-method.ts'],
    ['ioredis', 'publisher/leader.ts'],
    ['kysely', 'identity/session/revoker.ts'],
    ['pg', 'receivers/store/receiver-tables.ts'],
    ['oidc-provider', 'command/user.ts'],
  ])('finds the package %s outside its room', (name, file) => {
    expect(violationsIn({ [file]: `import { one } from '${name}';` })).toEqual([
      `src/${file} imports ${name}: not allowed there`,
    ]);
  });

  it.each([
    'export type Refusal = { reason: string };',
    'export interface Refusal {}',
    'export class Refusal {}',
    'export const Refusal = 1;',
    'export async function Refusal() {}',
  ])('finds a name that a second file exports: %s', (statement) => {
    expect(
      violationsIn({ 'injection/pod.ts': 'export type Refusal = string;', 'receivers/events.ts': statement }),
    ).toEqual(['Refusal is exported by src/injection/pod.ts, src/receivers/events.ts']);
  });

  it('allows a type and a value of one name in one file, and names that are not exported', () => {
    expect(
      violationsIn({
        'check/a.ts': 'export const Mode = 1;\nexport type Mode = 1;',
        'check/b.ts': 'type Mode = 2;\nexport const mode: Mode = 2;',
      }),
    ).toEqual([]);
  });
});
