import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { durationMs, secret, sizeBytes } from '../../src/runtime/config-values.ts';
import { ConfigFault, loadConfig } from '../../src/runtime/config.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { temporaryDirectory } from '../temporary.ts';

const schema = v.strictObject({
  name: v.string(),
  mode: v.optional(v.picklist(['enforce', 'shadow']), 'enforce'),
  revocation: v.optional(
    v.strictObject({
      maxExposure: v.optional(durationMs({ min: '10s' }), '30s'),
      maxEntries: v.optional(v.number(), 10),
      redis: v.optional(v.union([v.strictObject({ url: v.string() }), v.strictObject({ name: v.string() })])),
    }),
    {},
  ),
  password: v.optional(secret),
});

function load(yaml: string, environment: Record<string, string> = {}) {
  const file = join(temporaryDirectory(), 'program.yaml');
  writeFileSync(file, yaml);
  return loadConfig({ schema, file, environment });
}

function problemsOf(yaml: string, environment: Record<string, string> = {}) {
  try {
    load(yaml, environment);
  } catch (thrown) {
    if (thrown instanceof ConfigFault) return thrown.problems;
    throw thrown;
  }
  return [];
}

describe('a configuration file', () => {
  it('gets defaults, in the units of the code', () => {
    expect(load('name: a').revocation).toEqual({ maxExposure: 30_000, maxEntries: 10 });
  });

  it('is frozen deeply', () => {
    const config = load('name: a');
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.revocation)).toBe(true);
  });

  it('reports every problem at once, each with its path', () => {
    const problems = problemsOf('nam: a\nmode: off\nrevocation: { maxExposure: 5s, maxEntrys: 3 }');
    expect(problems.map(({ path }) => path).sort()).toEqual([
      'mode',
      'nam',
      'name',
      'revocation.maxEntrys',
      'revocation.maxExposure',
    ]);
    expect(problems.find(({ path }) => path === 'name')?.message).toBe('is required');
    expect(problems.find(({ path }) => path === 'nam')?.message).toContain('unknown key');
    expect(problems.find(({ path }) => path === 'revocation.maxExposure')?.message).toBe(
      'must be at least 10s',
    );
  });

  it('never repeats a wrong value, which may be a secret', () => {
    const [problem] = problemsOf('name: { nested: hunter2-secret }');
    expect(problem?.path).toBe('name');
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });

  it('says in which line the YAML is broken', () => {
    const [problem] = problemsOf('name: a\nmode: [enforce\n');
    expect(problem?.path).toMatch(/^line \d+$/);
  });

  it('refuses a key written twice', () => {
    expect(problemsOf('name: a\nname: b')[0]?.message).toMatch(/unique/i);
  });

  it('refuses a list or a text in place of the settings', () => {
    expect(problemsOf('- a')[0]?.message).toContain('mapping');
  });

  it('refuses aliases, which can make a small file large', () => {
    expect(() => load('name: &a x\nmode: *a')).toThrowError(/alias/i);
  });

  it('that cannot be read is a fault of its own', () => {
    expect(() => loadConfig({ schema, file: '/nonexistent/x.yaml', environment: {} })).toThrowError(
      expect.objectContaining({ code: 'ERR_CONFIG_UNREADABLE' }),
    );
  });
});

describe('an environment variable', () => {
  it('sets a scalar, with camel case split at underscores and levels at double underscores', () => {
    const config = load('name: a', {
      CURFEW__REVOCATION__MAX_EXPOSURE: '12s',
      CURFEW__REVOCATION__MAX_ENTRIES: '99',
    });
    expect(config.revocation).toEqual({ maxExposure: 12_000, maxEntries: 99 });
  });

  it('overrides the file', () => {
    expect(load('name: a', { CURFEW__NAME: 'b' }).name).toBe('b');
  });

  it('keeps a text that looks like a number a text where the setting is a text', () => {
    expect(load('name: a', { CURFEW__NAME: '0123' }).name).toBe('0123');
  });

  it('sets a scalar in one of several variants', () => {
    expect(load('name: a', { CURFEW__REVOCATION__REDIS__URL: 'redis://h' }).revocation.redis).toEqual({
      url: 'redis://h',
    });
  });

  it.each([
    'CURFEW__NO_SUCH',
    'CURFEW__REVOCATION',
    'CURFEW__REVOCATION__MAX_EXPOSURES',
    'CURFEW__NAME__DEEPER',
    'CURFEW____PROTO__',
  ])('that names no scalar stops the start: %s', (name) => {
    expect(problemsOf('name: a', { [name]: '1' })[0]?.path).toBe(name);
  });

  it('with a single underscore is ignored', () => {
    expect(load('name: a', { CURFEW_SERVICE_PORT: '1', CURFEW: 'x' }).name).toBe('a');
  });
});

describe('a value', () => {
  it.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['14d', 1_209_600_000],
  ])('of time %s is %d ms', (text, ms) => {
    expect(v.parse(durationMs(), text)).toBe(ms);
  });

  it.each(['10', '', 's', '1.5s', '-1s', '10 s', '1w', '99999999999s'])('of time is not %j', (text) => {
    expect(v.safeParse(durationMs(), text).success).toBe(false);
  });

  it.each([
    ['8192', 8192],
    ['256k', 262_144],
    ['1M', 1_048_576],
    [4096, 4096],
  ])('of size %s is %d bytes', (given, bytes) => {
    expect(v.parse(sizeBytes({ min: 1024, max: 2_000_000 }), given)).toBe(bytes);
  });

  it('of size outside its bounds is refused', () => {
    expect(v.safeParse(sizeBytes({ min: 1024, max: 2048 }), '3k').success).toBe(false);
    expect(v.safeParse(sizeBytes({ min: 1024, max: 2048 }), 12).success).toBe(false);
  });

  it('that is a secret prints masked, and reads unmasked', () => {
    const config = load('name: a\npassword: open-sesame');
    expect(JSON.stringify(config)).not.toContain('open-sesame');
    expect(config.password?.text()).toBe('open-sesame');
  });

  it('that is a secret in a file is read at each use, without its line end', () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, 'one\n');
    const config = load(`name: a\npassword: { file: ${file} }`);
    const before = config.password?.version();
    expect(config.password?.text()).toBe('one');
    writeFileSync(file, 'second\r\n');
    expect(config.password?.text()).toBe('second');
    expect(config.password?.version()).not.toBe(before);
  });

  it('that is a secret in a missing file is a fault that names the file, not the secret', () => {
    const config = load('name: a\npassword: { file: /nonexistent/secret }');
    expect(() => config.password?.text()).toThrowError(Fault);
    expect(() => config.password?.text()).toThrowError('/nonexistent/secret');
  });
});
