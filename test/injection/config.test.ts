import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { authorizerSchema } from '../../src/config/authorizer.ts';
import { injectorSchema } from '../../src/config/injector.ts';
import { injected, injectorSettings, options, podFixture } from './fixtures.ts';

const problems = (settings: Record<string, unknown>): string[] =>
  (v.safeParse(injectorSchema, { ...injectorSettings, ...settings }).issues ?? []).map(
    ({ path, message }) => `${(path ?? []).map(({ key }) => String(key)).join('.')}: ${message}`,
  );

const issuer = { issuer: 'https://idp.example', audiences: ['orders'] };
const shared = { ...issuer, algorithms: ['HS256'], secret: { file: '/etc/curfew/issuers/key', kid: 'one' } };

describe("the injector's configuration", () => {
  it('is complete with images, a certificate and an issuer', () => {
    expect(problems({})).toEqual([]);
    expect(problems({ secretMounts: [], authorizer: { issuers: [issuer] } })).toEqual([]);
  });

  it("checks the authorizers' settings as the authorizer would, with their paths", () => {
    expect(
      problems({ authorizer: { issuers: [{ issuer: 'https://idp.example' }], modus: 'shadow' } }),
    ).toEqual([
      expect.stringMatching(/^authorizer\.issuers\.0\.audiences: /),
      expect.stringMatching(/^authorizer\.modus: /),
    ]);
  });

  it.each(['listen', 'admin', 'tls'])('leaves %s of the sidecars to the injector', (key) => {
    expect(problems({ authorizer: { issuers: [issuer], [key]: ':1' } })).toContainEqual(
      `authorizer.${key}: is chosen by the injector`,
    );
  });

  it('refuses secrets in so many words, since the settings travel in annotations', () => {
    const redis = { url: 'redis://reader:pw@redis:6379', password: 'pw' };
    expect(problems({ authorizer: { issuers: [issuer], revocation: { redis } } })).toEqual([
      expect.stringMatching(/^authorizer\.revocation\.redis\.password: must be \{ file: PATH \}/),
      expect.stringMatching(/^authorizer\.revocation\.redis\.url: must be \{ file: PATH \}/),
    ]);
  });

  it('refuses an issuer with a shared secret unless that is said to be wanted', () => {
    const authorizer = { issuers: [shared] };
    expect(problems({ authorizer })).toEqual([expect.stringMatching(/^allowSharedSecrets: /)]);
    expect(problems({ authorizer, allowSharedSecrets: true })).toEqual([]);
  });

  it('writes a configuration into the pod that the authorizer takes', () => {
    const pod = injected(podFixture('file-server.yaml'));
    const text = pod.metadata.annotations?.['curfew/authorizer-config'] ?? '';
    const parsed = v.parse(authorizerSchema, JSON.parse(text));
    expect(parsed.listen).toEqual({ kind: 'unix', path: '/run/curfew/authorizer.sock' });
    expect(parsed.admin).toEqual({ kind: 'tcp', host: undefined, port: 19_001 });
  });

  it("lets Envoy pass on what the authorizers' settings need", () => {
    const authorizer = {
      issuers: [issuer],
      token: { sources: [{ cookie: 'session' }] },
      upstream: { prefix: 'x-id-', headers: { 'x-id-subject': 'sub' } },
      denied: { corsOrigins: ['https://app.example'] },
    };
    expect(options({ authorizer }).patch.needs).toEqual({
      sources: [{ cookie: 'session' }],
      reservedPrefix: 'x-id-',
      cors: true,
      loginRedirect: false,
    });
  });
});
