// Runs h2spec, the public conformance tests of HTTP/2, against our own server: `npm run test:h2spec`. Building it
// needs Go.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { executablePath } from '../src/demo/executables.ts';
import { createEchoServer } from '../test/http2/echo-server.ts';

const root = join(import.meta.dirname, '..');
const program = join(root, '.cache', 'h2spec', 'h2spec');
/** The module that pins it and what it is built of. */
const module = join(root, 'test', 'http2', 'h2spec');
const say = (line: string): void => console.log(`h2spec: ${line}`);

if (executablePath('go') === undefined) {
  say('NOT RUN: it is built with Go, and there is no go on PATH');
  process.exit(0);
}
build();

// It opens streams whole, and counts on their being open for a while (RFC 9113 §5.1.2).
const echo = createEchoServer({}, { answerAfterMs: 20 });
const port = await echo.listen();
const report = await run(port);
await echo.stop();

const summary = /^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed$/m.exec(report);
if (summary === null || summary[2] === '0' || summary[4] !== '0') console.log(report);
say(summary?.[0] ?? 'it has not said how it went');
process.exit(summary !== null && summary[2] !== '0' && summary[4] === '0' ? 0 : 1);

function build(): void {
  const { status } = spawnSync('go', ['build', '-o', program, 'github.com/summerwind/h2spec/cmd/h2spec'], {
    cwd: module,
    stdio: 'inherit',
  });
  if (status === 0) return;
  say('FAILED: it could not be built');
  process.exit(1);
}

async function run(port: number): Promise<string> {
  const child = spawn(program, ['--host', '127.0.0.1', '--port', String(port), '--timeout', '2'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return printed;
}
