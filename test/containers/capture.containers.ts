import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as v from 'valibot';
import { podSchema, type Pod } from '../../src/injection/pod.ts';
import { injected, options } from '../injection/fixtures.ts';
import { neverPrinted } from '../output.ts';
import { eventually } from '../processes.ts';
import { issueToken, jwkSetOf, testIssuer, testKey } from '../token/tokens.ts';
import { envoyImage, image, nodeImage, statusOf } from './docker.ts';
import { Laboratory } from './laboratory.ts';
import { runPod, type RunningPod } from './pod.ts';

/**
 * A service that knows nothing: HTTP on 8080, metrics on 9090, a back door on 7070, UDP echo on 5353 and
 * 5354.
 */
const service = `
const http = require('node:http');
const seen = (request) => JSON.stringify({ from: request.socket.remoteAddress, path: request.url, headers: request.headers });
for (const port of [8080, 9090, 7070]) http.createServer((request, response) => response.end(seen(request))).listen(port, '::');
for (const port of [5353, 5354]) {
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (message, { port, address }) => socket.send(message, port, address));
  socket.bind(port);
}
`;

const pod: Pod = v.parse(
  podSchema,
  parse(`
metadata:
  name: orders
  annotations: { curfew/open-ports: "metrics, 5353/udp" }
spec:
  containers:
    - name: orders
      image: ${nodeImage}
      ports:
        - { name: http, containerPort: 8080 }
        - { name: metrics, containerPort: 9090 }
      readinessProbe: { httpGet: { path: /ready, port: http } }
`),
);

const settings = {
  images: { authorizer: image('authorizer'), envoy: envoyImage, redirect: image('redirect') },
  secretMounts: [{ secret: 'issuers', path: '/etc/curfew/issuers' }],
  authorizer: {
    issuers: [
      {
        issuer: testIssuer,
        audiences: ['orders'],
        jwks: { file: '/etc/curfew/issuers/jwks.json' },
        revocation: 'none',
      },
    ],
  },
};

const laboratory = new Laboratory();
let running: RunningPod;
let after: Pod;
const token = issueToken({ lifetimeSeconds: 299 });

beforeAll(async () => {
  neverPrinted(token);
  const given = options(settings);
  after = injected(pod, given);
  const runnable: Pod = {
    ...after,
    spec: {
      ...after.spec,
      containers: after.spec.containers.map((one) => ({ ...one, args: ['node', '-e', service] })),
    },
  };
  running = await runPod(laboratory, runnable, {
    network: await laboratory.network('net', { ipv6: true }),
    secrets: { issuers: { 'jwks.json': jwkSetOf(testKey()) } },
  });
});

afterAll(() => laboratory.clear());

const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];
const at = (family: Family, port: number): string =>
  `http://${family === 'ipv4' ? running.ipv4 : `[${running.ipv6}]`}:${port}`;
const withToken = { authorization: `Bearer ${token}` };

/** What a TCP connection to the pod comes to. */
async function connection(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host, port, timeout: 2000 }, () => resolve('open'));
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
  socket.on('timeout', () => resolve('timeout'));
  const came = await promise;
  socket.destroy();
  return came;
}

async function udpAnswers(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on('message', () => resolve(true));
  socket.send('hello', port, running.ipv4);
  const timer = setTimeout(() => resolve(false), 500);
  const answered = await promise;
  clearTimeout(timer);
  socket.close();
  return answered;
}

describe.each(families)("redirect capture at the pod's address, %s", (family) => {
  it('refuses a request without a token', async () => {
    expect(await statusOf(`${at(family, 8080)}/orders`)).toBe(401);
  });

  it('lets a valid token through, from an address that no application trusts', async () => {
    const response = await fetch(`${at(family, 8080)}/orders`, { headers: withToken });
    const seen = (await response.json()) as { from: string; headers: Record<string, string> };
    expect(seen).toMatchObject({ path: '/orders', headers: { 'x-auth-subject': 'user-1' } });
    expect(seen.from).toMatch(/^::ffff:127\.0\.0\.6$/);
  });

  it("asks for a token on the probe's path too", async () => {
    expect(await statusOf(`${at(family, 8080)}/ready`)).toBe(401);
  });

  it('asks for a token on the port where Envoy listens', async () => {
    expect(await statusOf(`${at(family, 19_003)}/orders`)).toBe(401);
  });

  it('leaves an open port open', async () => {
    expect(await statusOf(`${at(family, 9090)}/metrics`)).toBe(200);
  });

  it('resets connections to a port that nobody declared', async () => {
    const host = family === 'ipv4' ? running.ipv4 : running.ipv6;
    expect(await connection(host, 7070)).toBe('ECONNREFUSED');
  });

  it("restricts Envoy's admin port to the pod", async () => {
    const host = family === 'ipv4' ? running.ipv4 : running.ipv6;
    expect(await connection(host, 19_002)).toBe('ECONNREFUSED');
  });

  it("shows the authorizer's metrics but not its status", async () => {
    expect(await statusOf(`${at(family, 19_001)}/metrics`)).toBe(200);
    expect(await statusOf(`${at(family, 19_001)}/status`)).toBe(403);
  });
});

describe('redirect capture', () => {
  it('passes UDP only to ports that are declared', async () => {
    expect([await udpAnswers(5353), await udpAnswers(5354)]).toEqual([true, false]);
  });

  it('does not affect loopback and outgoing traffic', async () => {
    const outside = await laboratory.start({
      name: 'outside',
      image: nodeImage,
      args: ['node', '-e', "require('node:http').createServer((_, r) => r.end()).listen(4000)"],
      network: laboratory.named('net'),
    });
    const { ipv4 } = await outside.addresses();
    await outside.answers(`http://${ipv4}:4000`);
    const ask = (url: string): Promise<string> =>
      running.container('orders').exec('node', '-e', `fetch('${url}').then((r) => console.log(r.status))`);
    expect(await ask('http://127.0.0.1:7070/')).toBe('200');
    expect(await ask(`http://${ipv4}:4000/`)).toBe('200');
  });

  it('makes the application ready by its rewritten probe', async () => {
    const probe = after.spec.containers[0]?.readinessProbe?.httpGet;
    expect(await statusOf(`http://${running.ipv4}:${probe?.port}${probe?.path}`)).toBe(200);
    expect(await statusOf(`http://${running.ipv4}:${probe?.port}/ready-or-not`)).toBe(404);
  });

  it('can be set up again', async () => {
    const redirect = after.spec.initContainers?.find(({ name }) => name === 'curfew-redirect');
    await laboratory.once({
      name: 'again',
      image: image('redirect'),
      args: redirect?.['args'] as string[],
      network: `container:${laboratory.named('pause')}`,
      user: '0:0',
      capabilities: ['NET_ADMIN'],
    });
    expect(await statusOf(`${at('ipv4', 8080)}/orders`)).toBe(401);
    expect(await statusOf(`${at('ipv4', 8080)}/orders`, withToken)).toBe(200);
  });

  it('refuses everything while the authorizer is down, and recovers with it', async () => {
    const authorizer = running.container('curfew-authorizer');
    expect(await authorizer.end('SIGKILL')).toBe(137);
    expect(await statusOf(`${at('ipv4', 8080)}/orders`, withToken)).toBe(503);
    await authorizer.startAgain();
    await eventually('the pod recovers', async () =>
      (await statusOf(`${at('ipv4', 8080)}/orders`, withToken)) === 200 ? true : undefined,
    );
    expect(await statusOf(`${at('ipv4', 8080)}/orders`)).toBe(401);
  });

  it('ends its sidecars cleanly', async () => {
    expect(await running.container('curfew-authorizer').end()).toBe(0);
    expect(await running.container('curfew-envoy').end()).toBe(0);
  });
});
