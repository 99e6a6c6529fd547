import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { readFileSync } from 'node:fs';
import { envoyImage, nodeImage } from './docker.ts';
import { Laboratory, readOnly, type Container } from './laboratory.ts';

const folder = join(import.meta.dirname, '..', '..', 'k8s', 'envoy');

type Gateway = {
  kind: string;
  spec: {
    template: {
      spec: {
        containers: {
          command: string[];
          args: string[];
          lifecycle: { preStop: { exec: { command: string[] } } };
        }[];
      };
    };
  };
};

/** Answers at once, or after as many seconds as `/healthz?N` says. */
const service =
  "require('node:http').createServer((request, response) => setTimeout(() => response.end('done'), Number(request.url.split('?')[1] ?? 0) * 1000)).listen(3000)";

const laboratory = new Laboratory();
let envoy: Container;
let url: string;
let preStop: readonly string[];

beforeAll(async () => {
  const documents = parseAllDocuments(readFileSync(join(folder, 'gateway.yaml'), 'utf8'));
  const gateway = documents
    .map((document) => document.toJS() as Gateway)
    .find(({ kind }) => kind === 'Deployment');
  const container = gateway?.spec.template.spec.containers[0];
  preStop = container?.lifecycle.preStop.exec.command ?? [];
  const [entrypoint = '', ...args] = [...(container?.command ?? []), ...(container?.args ?? [])];
  const network = await laboratory.network('net');
  await laboratory.start({ name: 'orders', image: nodeImage, network, args: ['node', '-e', service] });
  envoy = await laboratory.start({
    name: 'envoy',
    image: envoyImage,
    network,
    user: '65531:65531',
    entrypoint,
    args,
    mounts: [readOnly(join(folder, 'config'), '/etc/envoy')],
  });
  const { ipv4 } = await envoy.addresses();
  url = `http://${ipv4}:8000/healthz`;
  await envoy.answers(url);
});

afterAll(() => laboratory.clear());

describe("the gateway's preStop hook", () => {
  it('serves on, closes connections with their answers, and waits for those that are still being answered', async () => {
    expect((await fetch(url)).headers.get('connection')).not.toBe('close');
    const ended: string[] = [];
    const slow = fetch(`${url}?8`).then(async (response) => ended.push(await response.text()));
    const hook = envoy.exec(...preStop).then(() => ended.push('hook'));
    const drained = async (): Promise<string> => {
      const response = await fetch(url);
      await response.text();
      return response.headers.get('connection') ?? '';
    };
    await expect.poll(drained, { timeout: 20_000 }).toBe('close');
    await Promise.all([slow, hook]);
    expect(ended).toEqual(['done', 'hook']);
    expect(await drained()).toBe('close');
    expect(await envoy.end()).toBe(0);
  });

  it('restricts the admin port to the pod', async () => {
    await envoy.startAgain();
    await envoy.answers(url);
    await expect(fetch(url.replace(':8000/healthz', ':9901/'))).rejects.toThrow('fetch failed');
  });
});
