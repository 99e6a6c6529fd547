import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import { Fault } from '../../src/runtime/fault.ts';
import { secretFromFile } from '../../src/runtime/secret.ts';
import type { Algorithm } from '../../src/vocabulary/algorithms.ts';
import { createIssuerKeys, type KeyOrigin } from '../../src/token/issuer-keys.ts';
import type { VerificationKey } from '../../src/token/key-lookup.ts';
import { createLocalKeySet } from '../../src/token/local-key-set.ts';
import { issuerRules } from '../../src/token/issuer-rules.ts';
import { temporaryDirectory } from '../temporary.ts';
import { capturedLog, testMetrics, testVerifier } from './fixtures.ts';
import { issueToken, jwkSetOf, testIssuer, testKey, testNow, testSecret } from './tokens.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function keysFrom(origin: KeyOrigin, algorithms: readonly Algorithm[]) {
  const log = capturedLog();
  const metrics = testMetrics();
  const keySet = createIssuerKeys({
    issuer: testIssuer,
    algorithms,
    origin,
    clock: systemClock,
    log: log.log,
    metrics,
  });
  return { keySet, log, watch: () => vi.advanceTimersByTime(5000) };
}

const secretIn = (file: string, encoding: 'base64url' | 'raw' = 'base64url'): KeyOrigin => ({
  kind: 'secret',
  secret: secretFromFile(file),
  encoding,
  name: 'shared-1',
});

async function faultOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return 'none';
  } catch (thrown) {
    return thrown instanceof Fault ? `${thrown.code}: ${thrown.message}` : 'no fault';
  }
}

/** Replaces a file as a careful writer does, and as Kubernetes does. */
function replace(file: string, text: string | Buffer): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

describe('a shared secret', () => {
  it.each(['HS256', 'HS384', 'HS512'] as const)(
    'verifies %s, with its name as kid or without one',
    async (algorithm) => {
      const file = join(temporaryDirectory(), 'secret');
      writeFileSync(file, `${testSecret.toString('base64url')}\n`);
      const { keySet } = keysFrom(secretIn(file), [algorithm]);
      await keySet.start();
      const rules = issuerRules({ issuer: testIssuer, audiences: 'any', algorithms: [algorithm] });
      const verifier = testVerifier([{ rules, keySet }]);
      const signed = (kid?: string): string =>
        issueToken({
          now: testNow,
          secret: { bytes: testSecret, algorithm, ...(kid !== undefined && { kid }) },
        });
      expect(await verifier.verify(signed('shared-1'))).toMatchObject({ token: { keyId: 'shared-1' } });
      expect(await verifier.verify(signed())).toMatchObject({ token: { keyId: 'shared-1' } });
      expect(verifier.verify(signed('other'))).toMatchObject({ reason: 'unknown_key' });
      const forged = { bytes: Buffer.alloc(64), algorithm };
      expect(await verifier.verify(issueToken({ now: testNow, secret: forged }))).toMatchObject({
        reason: 'bad_signature',
      });
    },
  );

  it.each([
    ['HS256', 32],
    ['HS384', 48],
    ['HS512', 64],
  ] as const)('for %s has at least %d bytes', async (algorithm, bytes) => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, Buffer.alloc(bytes, 1));
    expect(await faultOf(keysFrom(secretIn(file, 'raw'), [algorithm]).keySet.start())).toBe('none');
    writeFileSync(file, Buffer.alloc(bytes - 1, 1));
    expect(await faultOf(keysFrom(secretIn(file, 'raw'), [algorithm]).keySet.start())).toBe(
      `ERR_CONFIG_INVALID: the secret in ${file} has ${bytes - 1} bytes; ${algorithm} needs at least ${bytes}`,
    );
  });

  it('may be padded base64url, and must be what it says it is', async () => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, `${Buffer.alloc(32, 1).toString('base64url')}=`);
    expect(await faultOf(keysFrom(secretIn(file), ['HS256']).keySet.start())).toBe('none');
    writeFileSync(file, 'not base64url, but a long passphrase of many words');
    expect(await faultOf(keysFrom(secretIn(file), ['HS256']).keySet.start())).toContain(
      'say `encoding: raw`',
    );
  });

  it('that cannot be read stops the start', async () => {
    const file = join(temporaryDirectory(), 'secret');
    expect(await faultOf(keysFrom(secretIn(file), ['HS256']).keySet.start())).toMatch(
      /^ERR_SECRET_UNREADABLE/,
    );
  });

  it('is read again when its file changes, and the former no longer verifies', async () => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, testSecret.toString('base64url'));
    const { keySet, watch } = keysFrom(secretIn(file), ['HS256']);
    await keySet.start();
    const before = keySet.find('shared-1', 'HS256');
    replace(file, Buffer.alloc(64, 9).toString('base64url'));
    watch();
    const after = keySet.find('shared-1', 'HS256');
    if (before.kind !== 'found' || after.kind !== 'found') throw new Error('no key');
    expect([keySet.vouchesFor(before.key), keySet.vouchesFor(after.key)]).toEqual([false, true]);
    keySet.stop();
  });

  it('stays in use while its file holds nothing usable, and shows in no message', async () => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, testSecret.toString('base64url'));
    const { keySet, log, watch } = keysFrom(secretIn(file), ['HS256']);
    await keySet.start();
    const key = keySet.find('shared-1', 'HS256');
    replace(file, 'too-short-a-secret');
    watch();
    watch();
    expect(keySet.find('shared-1', 'HS256')).toEqual(key);
    expect(keySet.state()).toMatchObject({ state: 'stale' });
    expect(log.lines()).toHaveLength(1);
    expect(log.text()).not.toContain('too-short-a-secret');
    rmSync(file);
    watch();
    expect(keySet.isUsable()).toBe(true);
    replace(file, testSecret.toString('base64url'));
    watch();
    expect(keySet.state()).toMatchObject({ state: 'fresh', problem: undefined });
  });
});

describe('a file of keys', () => {
  it('is watched for change: keys come and go with it', async () => {
    const file = join(temporaryDirectory(), 'jwks.json');
    writeFileSync(file, jwkSetOf(testKey('RS256', 'one')));
    const { keySet, watch } = keysFrom({ kind: 'file', path: file }, ['RS256']);
    await keySet.start();
    replace(file, jwkSetOf(testKey('RS256', 'two')));
    expect(keySet.find('two', 'RS256').kind).toBe('unknown');
    watch();
    expect([keySet.find('one', 'RS256').kind, keySet.find('two', 'RS256').kind]).toEqual([
      'unknown',
      'found',
    ]);
    keySet.stop();
  });

  it('that is broken by a change leaves the former keys in use', async () => {
    const file = join(temporaryDirectory(), 'jwks.json');
    writeFileSync(file, jwkSetOf(testKey('RS256', 'one')));
    const { keySet, log, watch } = keysFrom({ kind: 'file', path: file }, ['RS256']);
    await keySet.start();
    replace(file, '{"keys":[');
    watch();
    expect(keySet.find('one', 'RS256').kind).toBe('found');
    expect(log.lines()[0]).toMatchObject({ level: 'error', issuer: testIssuer });
  });

  it.each([
    ['absent', undefined, 'ERR_JWKS_UNAVAILABLE'],
    ['empty', '', 'ERR_JWKS_INVALID'],
    [
      'one with a private key',
      JSON.stringify({ keys: [testKey().privateKey.export({ format: 'jwk' })] }),
      'ERR_JWKS_INVALID',
    ],
  ])('that is %s stops the start', async (_, text, code) => {
    const file = join(temporaryDirectory(), 'jwks.json');
    if (text !== undefined) writeFileSync(file, text);
    expect(await faultOf(keysFrom({ kind: 'file', path: file }, ['RS256']).keySet.start())).toContain(code);
  });
});

describe('a file that cannot be read after its change', () => {
  it('is tried again although it does not change any more', async () => {
    let version = '1';
    let readable = true;
    const read = vi.fn((): VerificationKey[] => {
      if (!readable) throw new Fault('ERR_SECRET_UNREADABLE', 'permission denied');
      return [];
    });
    const keys = { source: 'file', version: () => version, read };
    const keySet = createLocalKeySet({ issuer: testIssuer, keys, log: capturedLog().log });
    await keySet.start();
    [version, readable] = ['2', false];
    vi.advanceTimersByTime(5000);
    expect(keySet.state()).toMatchObject({ problem: 'permission denied' });
    readable = true;
    vi.advanceTimersByTime(5000);
    expect(keySet.state()).toMatchObject({ problem: undefined });
    vi.advanceTimersByTime(50_000);
    expect(read).toHaveBeenCalledTimes(3);
    keySet.stop();
  });
});

describe('keys from the network', () => {
  it('may not come in plain http from elsewhere, which is found before anything starts', () => {
    expect(() => keysFrom({ kind: 'remote', uri: 'http://keys.test/' }, ['RS256'])).toThrow(Fault);
  });
});
