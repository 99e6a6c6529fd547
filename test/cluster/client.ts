import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { nodeImage } from './images.ts';
import { apply, kubectl, restricted } from './kubectl.ts';

export type Answer = { status: number; headers: Record<string, string>; body: string; error?: string };

export type Asking = {
  method?: string;
  headers?: Record<string, string>;
  form?: Record<string, string>;
  body?: string;
  /** Where to connect to, if it can't be said in a URL: `fe80::1%eth0`. */
  host?: string;
};

/** A pod that nothing protects, to ask from. */
export type Client = {
  request(url: string, options?: Asking): Promise<Answer>;
  /** Runs a program in it, until its standard input is closed. */
  run(program: string, ...args: readonly string[]): ChildProcessWithoutNullStreams;
  close(): void;
};

// One process for all requests, each on a connection of its own.
const askProgram = `
const { request } = require('node:http');
const ask = ({ url, method = 'GET', headers = {}, form, body, host }) => new Promise((done) => {
  const to = new URL(url);
  const text = form === undefined ? body : String(new URLSearchParams(form));
  const type = form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
  const failed = (e) => done({ status: 0, headers: {}, body: '', error: e.code ?? e.name });
  const sent = request({
    host: host ?? to.hostname.replace(/[[\\]]/g, ''), port: to.port || 80, path: to.pathname + to.search, agent: false,
    method: form === undefined ? method : 'POST', headers: { host: to.host, ...type, ...headers }, signal: AbortSignal.timeout(5000),
  }, async (got) => {
    try {
      const parts = [];
      for await (const part of got) parts.push(part);
      done({ status: got.statusCode, headers: got.headers, body: String(Buffer.concat(parts)) });
    } catch (e) { failed(e); }
  });
  sent.on('error', failed);
  sent.end(text);
});
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, ...asked } = JSON.parse(line);
  console.log(JSON.stringify({ id, ...await ask(asked) }));
}).on('close', () => process.exit());`;

/** Starts the pod, in a namespace that asks for no protection. */
export async function startClient(namespace: string): Promise<Client> {
  await apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'client', namespace },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'client',
          image: nodeImage,
          command: ['node', '-e', 'setInterval(() => {}, 1e9)'],
          securityContext: restricted,
        },
      ],
    },
  });
  await kubectl('-n', namespace, 'wait', '--for=condition=Ready', 'pod/client', '--timeout=120s');
  const run = (program: string, ...args: readonly string[]): ChildProcessWithoutNullStreams =>
    spawn('kubectl', ['-n', namespace, 'exec', '-i', 'client', '--', 'node', '-e', program, ...args]);
  return { ...askThrough(run(askProgram)), run };
}

function askThrough(session: ChildProcessWithoutNullStreams): Pick<Client, 'request' | 'close'> {
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  let last = 0;
  let complaint = '';
  session.stderr.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-1000);
  });
  createInterface({ input: session.stdout }).on('line', (line) => {
    const { id, ...answer } = JSON.parse(line) as Answer & { id: number };
    waiting.get(id)?.resolve(answer);
    waiting.delete(id);
  });
  session.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error(`the client has ended: ${complaint}`));
  });
  return {
    request: (url, options = {}) => {
      if (session.exitCode !== null) throw new Error(`the client has ended: ${complaint}`);
      last += 1;
      const answer = Promise.withResolvers<Answer>();
      waiting.set(last, answer);
      session.stdin.write(`${JSON.stringify({ id: last, url, ...options })}\n`);
      return answer.promise;
    },
    close: () => void session.stdin.end(),
  };
}
