import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { answerReview, type InjectionRecord } from '../../src/injection/injection.ts';
import { createWebhook, type Webhook } from '../../src/injection/webhook.ts';
import { createLog } from '../../src/runtime/log.ts';
import { eventually } from '../processes.ts';
import { temporaryDirectory } from '../temporary.ts';
import { selfSigned } from './certificate.ts';
import { applied, injected, options, podFixture, podWith } from './fixtures.ts';
import type { Container, Pod } from '../../src/injection/pod.ts';
import type { PatchOperation } from '../../src/injection/admission-review.ts';

let webhook: Webhook;
let files: { cert: string; key: string };
let records: InjectionRecord[];

function writePair(name: string): void {
  const { cert, key } = selfSigned(name);
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
}

beforeEach(async () => {
  const folder = temporaryDirectory();
  files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  writePair('curfew-injector.curfew.svc');
  records = [];
  webhook = createWebhook({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: files,
    answer: (body, invocation) =>
      answerReview(body, options(), (record) => void records.push(record), invocation),
    log: createLog({ program: 'injector', level: 'silent' }),
  });
  await webhook.start();
});

afterEach(() => webhook.stop());

type Answer = { status: number; body: Record<string, never> };

async function send(
  body: string | Buffer,
  given: { method?: string; path?: string; type?: string } = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const outgoing = request(
    {
      host: '127.0.0.1',
      port: webhook.boundPort(),
      rejectUnauthorized: false,
      agent: false,
      method: given.method ?? 'POST',
      path: given.path ?? '/inject?timeout=5s',
      headers: { 'content-type': given.type ?? 'application/json' },
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, never> });
      });
    },
  );
  outgoing.on('error', reject);
  outgoing.end(given.method === 'GET' ? undefined : body);
  return promise;
}

const fromMirror = (container: Container): Container => ({
  ...container,
  image: `mirror/${container.image}`,
});

const review = (pod: unknown, changes: Record<string, unknown> = {}): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      namespace: 'shop',
      object: pod,
      ...changes,
    },
  });

describe('the webhook', () => {
  it('answers a review with a JSON patch that brings the sidecars', async () => {
    const pod = podFixture('file-server.yaml');
    const { status, body } = await send(review(pod));
    expect(status).toBe(200);
    expect(body['response']).toMatchObject({
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      allowed: true,
      patchType: 'JSONPatch',
    });
    const { patch } = body['response'] as unknown as { patch: string };
    const after = applied(
      pod,
      JSON.parse(Buffer.from(patch, 'base64').toString()) as PatchOperation[],
    ) as Pod;
    expect(after.spec.initContainers?.map(({ name }) => name)).toEqual([
      'curfew-redirect',
      'curfew-authorizer',
      'curfew-envoy',
    ]);
  });

  it('keeps what other admission steps did to the sidecars where it is asked again, and nowhere else', async () => {
    const once = injected(podFixture('file-server.yaml'));
    const mirrored = {
      ...once,
      spec: {
        ...once.spec,
        initContainers: once.spec.initContainers?.map(fromMirror),
      },
    };
    const imagesAfter = async (path: string): Promise<unknown> => {
      const { response } = (await send(review(mirrored), { path })).body as unknown as {
        response: { patch?: string };
      };
      const patch = Buffer.from(response.patch ?? 'W10=', 'base64').toString();
      const { spec } = applied(mirrored, JSON.parse(patch) as PatchOperation[]) as Pod;
      return spec.initContainers?.map(({ image }) => image);
    };
    expect(await imagesAfter('/reinvoke?timeout=5s')).toEqual([
      'mirror/curfew-redirect:1',
      'mirror/curfew-authorizer:1',
      'mirror/envoyproxy/envoy:v1.40.0',
    ]);
    expect(records).toEqual([]);
    expect(await imagesAfter('/inject?timeout=5s')).toEqual([
      'curfew-redirect:1',
      'curfew-authorizer:1',
      'envoyproxy/envoy:v1.40.0',
    ]);
    expect(records).toMatchObject([{ result: 'injected', reason: 'redirect' }]);
  });

  it('keeps out, and records, a pod that can no longer be protected when it is asked again', async () => {
    const once = injected(podFixture('file-server.yaml'));
    const meshed = { ...once, spec: { ...once.spec, hostNetwork: true } };
    const { body } = await send(review(meshed), { path: '/reinvoke' });
    expect(body['response']).toMatchObject({ allowed: false });
    expect(records).toMatchObject([{ result: 'refused', reason: 'host_network' }]);
  });

  it('keeps a pod out that it refuses, and says why by name', async () => {
    const { status, body } = await send(
      review({ spec: { containers: [{ name: 'web' }], hostNetwork: true } }),
    );
    expect(status).toBe(200);
    expect(body['response']).toMatchObject({
      allowed: false,
      status: { code: 403, message: expect.stringMatching(/^curfew: host_network: /) },
    });
    expect(records).toMatchObject([{ result: 'refused', reason: 'host_network', namespace: 'shop' }]);
  });

  it('lets a pod in unchanged that opted out', async () => {
    const pod = {
      ...podWith([{ containerPort: 80 }]),
      metadata: { labels: { 'curfew/inject': 'disabled' } },
    };
    const { body } = await send(review(pod));
    expect(body['response']).toEqual({ uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true });
  });

  it.each([
    ['an update', review(podWith([{ containerPort: 80 }]), { operation: 'UPDATE' })],
    ['another kind of object', review({}, { kind: { group: 'apps', version: 'v1', kind: 'Deployment' } })],
    ['a pod without containers', review({ spec: {} })],
    [
      'a pod whose port is a text',
      review({ spec: { containers: [{ name: 'a', ports: [{ containerPort: '80' }] }] } }),
    ],
  ])('keeps out %s', async (_what, body) => {
    expect((await send(body)).body['response']).toMatchObject({ allowed: false, status: { code: 400 } });
    expect(records).toMatchObject([{ result: 'refused', reason: 'malformed_review' }]);
  });

  it.each([
    ['a body that is no JSON', '{', {}, 400],
    ['a body without a uid', '{}', {}, 400],
    ['a body of more than 4 MiB', Buffer.alloc(4 * 1024 * 1024 + 1, 'a'), {}, 413],
    ['another content type', review({}), { type: 'text/plain' }, 415],
    ['another method', '', { method: 'GET' }, 405],
    ['another path', review({}), { path: '/' }, 404],
  ])('answers %s with an error', async (_what, body, given, status) => {
    expect((await send(body, given)).status).toBe(status);
  });

  it('serves a changed certificate without a restart, and keeps the old one while the pair does not fit', async () => {
    const served = async (): Promise<string> => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const socket = connect(
        { port: webhook.boundPort(), host: '127.0.0.1', rejectUnauthorized: false },
        () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.end();
        },
      );
      return promise;
    };
    writeFileSync(files.cert, selfSigned('half-written').cert);
    expect(await served()).toBe('curfew-injector.curfew.svc');
    writePair('renewed.curfew.svc');
    await eventually('the new certificate', async () =>
      (await served()) === 'renewed.curfew.svc' ? true : undefined,
    );
    expect((await send(review(podWith([{ containerPort: 80 }])))).status).toBe(200);
  });

  it('answers on a kept connection when it stops, and asks its client to close it', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    onTestFinished(() => agent.destroy());
    const port = webhook.boundPort();
    const ask = async (): Promise<string | undefined> => {
      const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
      const headers = { 'content-type': 'application/json' };
      request({ host: '127.0.0.1', port, agent, method: 'POST', path: '/inject', headers }, (response) =>
        response.resume().on('end', () => resolve(response.headers.connection)),
      )
        .on('error', reject)
        .end('{}');
      return promise;
    };
    expect(await ask()).toBe('keep-alive');
    const stopped = webhook.stop();
    expect(await ask()).toBe('close');
    await stopped;
  });
});
