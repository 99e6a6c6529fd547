import { chmodSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { selfSigned } from '../injection/certificate.ts';
import { injectorSettings, podFixture } from '../injection/fixtures.ts';
import { lastingDirectory } from '../temporary.ts';
import { image } from './docker.ts';
import { Laboratory, readOnly, type Container } from './laboratory.ts';

const laboratory = new Laboratory();
const pair = selfSigned('curfew-injector.curfew.svc');
let injector: Container;
let address: string;

beforeAll(async () => {
  const folder = lastingDirectory();
  chmodSync(folder, 0o755);
  const config = {
    ...injectorSettings,
    admin: ':9022',
    tls: { cert: '/etc/curfew/tls.crt', key: '/etc/curfew/tls.key' },
  };
  writeFileSync(join(folder, 'injector.yaml'), stringify(config));
  writeFileSync(join(folder, 'tls.crt'), pair.cert);
  writeFileSync(join(folder, 'tls.key'), pair.key);
  injector = await laboratory.start({
    name: 'injector',
    image: image('injector'),
    network: await laboratory.network('net'),
    mounts: [readOnly(folder, '/etc/curfew')],
  });
  address = (await injector.addresses()).ipv4;
  await injector.answers(`http://${address}:9022/readyz`);
});

afterAll(() => laboratory.clear());

/** Asks as the API server does: by the Service's name, trusting the chart's authority only. */
async function review(body: unknown): Promise<{ response: { allowed: boolean; patch?: string } }> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const outgoing = request(
    {
      host: address,
      port: 8443,
      path: '/inject?timeout=5s',
      method: 'POST',
      servername: 'curfew-injector.curfew.svc',
      ca: pair.cert,
      headers: { 'content-type': 'application/json' },
    },
    (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text));
    },
  );
  outgoing.on('error', reject);
  outgoing.end(JSON.stringify(body));
  return JSON.parse(await promise) as { response: { allowed: boolean; patch?: string } };
}

describe('the injector in its image', () => {
  it('answers a review of the API server over TLS', async () => {
    const { response } = await review({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'uid-1',
        kind: { group: '', version: 'v1', kind: 'Pod' },
        operation: 'CREATE',
        namespace: 'shop',
        object: podFixture('file-server.yaml'),
      },
    });
    expect(response.allowed).toBe(true);
    expect(response.patch?.length).toBeGreaterThan(1000);
  });

  it('counts and logs what it did', async () => {
    const metrics = await (await fetch(`http://${address}:9022/metrics`)).text();
    expect(metrics).toContain('curfew_injections_total{result="injected",reason="redirect"} 1');
    const line = (await injector.logs()).split('\n').find((one) => one.includes('"msg":"pod injected"'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      level: 'info',
      namespace: 'shop',
      pod: expect.any(String),
    });
  });

  it('ends with 0 on SIGTERM', async () => {
    expect(await injector.end()).toBe(0);
  });
});
