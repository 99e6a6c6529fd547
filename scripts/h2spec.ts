// Runs h2spec, the public conformance tests of HTTP/2: `npm run test:h2spec`. Building it needs Go.
//
// The native HTTP/2 must pass over TCP and over TLS. Of grpc-js, whose HTTP/2 is Node's, the failures are
// compared with those recorded in test/http2/h2spec/grpc-js.txt: a new one is printed, and fails nothing.
// `--record` writes that file, from several runs, because some of them depend on whether the server's answer
// or the client's next frame comes first.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createHealthService } from '../src/grpc/health-service.ts';
import { createGrpcServer } from '../src/grpc/server.ts';
import { defaultBounds } from '../src/grpc/server-bounds.ts';
import { createTlsListener } from '../src/grpc/tls-listener.ts';
import { systemClock } from '../src/runtime/clock.ts';
import { executablePath } from '../src/demo/executables.ts';
import { createLog } from '../src/runtime/log.ts';
import { writeTlsFiles } from '../test/grpc/transports.ts';
import { createEchoServer } from '../test/http2/echo-server.ts';

const root = join(import.meta.dirname, '..');
const program = join(root, '.cache', 'h2spec', 'h2spec');
/** The module that pins it and its dependencies. */
const module = join(root, 'test', 'http2', 'h2spec');
const recordedFile = join(module, 'grpc-js.txt');
const recordedRuns = 8;
const log = createLog({ program: 'h2spec', level: 'silent' });
const say = (line: string): void => console.log(`h2spec: ${line}`);

if (executablePath('go') === undefined) {
  say('NOT RUN: it is built with Go, and there is no go on PATH');
  process.exit(0);
}
build();
const passed = [await testNative('TCP'), await testNative('TLS')];
await compareGrpcJs();
process.exit(passed.every(Boolean) ? 0 : 1);

function build(): void {
  const { status } = spawnSync('go', ['build', '-o', program, 'github.com/summerwind/h2spec/cmd/h2spec'], {
    cwd: module,
    stdio: 'inherit',
  });
  if (status === 0) return;
  say('FAILED: it could not be built');
  process.exit(1);
}

async function run(port: number, options: readonly string[] = []): Promise<string> {
  const always = ['--host', '127.0.0.1', '--port', String(port), '--timeout', '2'];
  const child = spawn(program, [...always, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return printed;
}

function summaryOf(report: string): RegExpExecArray | null {
  return /^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed$/m.exec(report);
}

async function testNative(transport: 'TCP' | 'TLS'): Promise<boolean> {
  // h2spec expects a stream that it has half closed to be open for a while (RFC 9113 §5.1.2).
  const echo = createEchoServer({}, { answerAfterMs: 20 });
  const report =
    transport === 'TCP'
      ? await run(await echo.listen())
      : await overTls(echo.server, (port) => run(port, ['--tls', '--insecure']));
  if (transport === 'TCP') await echo.stop();
  const summary = summaryOf(report);
  const isPassed = summary !== null && summary[2] !== '0' && summary[4] === '0';
  if (!isPassed) console.log(report);
  say(`native over ${transport}: ${summary?.[0] ?? 'no summary'}`);
  return isPassed;
}

/** The TLS listener of the product in front of a server, whose connection listener gets its connections. */
async function overTls<T>(server: Server, use: (port: number) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'curfew-h2spec-'));
  const { cert, key } = writeTlsFiles(folder);
  const listener = createTlsListener({
    tls: { cert, key },
    bounds: defaultBounds,
    certificatesEveryMs: undefined,
    log,
    onConnection: (socket) => void server.emit('connection', socket),
  });
  listener.server.listen(0, '127.0.0.1');
  await once(listener.server, 'listening');
  const address = listener.server.address();
  try {
    return await use(typeof address === 'object' && address !== null ? address.port : 0);
  } finally {
    listener.stopWatching();
    listener.server.close();
    rmSync(folder, { recursive: true });
  }
}

async function compareGrpcJs(): Promise<void> {
  const health = createHealthService({ services: [], isReady: () => true });
  const server = createGrpcServer({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: undefined,
    methods: [],
    health,
    engine: 'grpc-js',
    drainMs: 100,
    clock: systemClock,
    log,
  });
  await server.start();
  const address = server.boundAddress();
  const isRecording = process.argv.includes('--record');
  const failures = new Set<string>();
  for (let count = 0; count < (isRecording ? recordedRuns : 1); count += 1) {
    const report = await run(address.kind === 'tcp' ? address.port : 0);
    say(`grpc-js over TCP: ${summaryOf(report)?.[0] ?? 'no summary'}`);
    for (const failure of failuresOf(report)) failures.add(failure);
  }
  await server.stop();
  if (isRecording) return writeFileSync(recordedFile, `${[...failures].sort().join('\n')}\n`);
  const recorded = existsSync(recordedFile) ? readFileSync(recordedFile, 'utf8').trim().split('\n') : [];
  for (const failure of failures) if (!recorded.includes(failure)) say(`grpc-js fails newly: ${failure}`);
}

/** Each failed test as its section and sentence. */
function failuresOf(report: string): string[] {
  const [, listed = ''] = report.split(/^Failures:\s*$/m);
  const failures = new Set<string>();
  let section = '';
  for (const line of listed.split('\n')) {
    section = /^\s+(\d[\d.]*\. .*|[a-z0-9/.]+\d.*)$/i.exec(line)?.[1] ?? section;
    const sentence = /^\s+(?:×|x) \d+: (.*)$/.exec(line)?.[1];
    if (sentence !== undefined) failures.add(`${section}: ${sentence}`);
  }
  return [...failures];
}
