import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acceptWaiting, formatAddress, isLoopback, listen, parseAddress } from '../../src/runtime/address.ts';
import { temporaryDirectory } from '../temporary.ts';

describe('an address', () => {
  it.each([
    ['127.0.0.1:9001', { kind: 'tcp', host: '127.0.0.1', port: 9001 }],
    [':8080', { kind: 'tcp', host: undefined, port: 8080 }],
    ['[::1]:80', { kind: 'tcp', host: '::1', port: 80 }],
    ['unix:///run/curfew/a.sock', { kind: 'unix', path: '/run/curfew/a.sock' }],
  ])('is read and written: %s', (text, address) => {
    const parsed = parseAddress(text);
    expect(parsed).toEqual(address);
    expect(parsed === undefined ? '' : formatAddress(parsed)).toBe(text);
  });

  it.each([
    '',
    '80',
    'host',
    'host:99999',
    'host:',
    'unix:relative',
    'unix://',
    `unix:///${'a'.repeat(120)}`,
    'a b:1',
    '::1:80',
  ])('is not %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it.each([
    ['127.0.0.1', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['localhost', true],
    ['10.0.0.1', false],
    ['::ffff:10.0.0.1', false],
    ['127.evil.example', false],
    [undefined, false],
  ])('of a peer is loopback or not: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});

describe('listening', () => {
  it('on a port in use says so and names the setting', async () => {
    const first = createServer();
    await listen(first, { kind: 'tcp', host: '127.0.0.1', port: 0 }, 'listen');
    onTestFinished(() => void first.close());
    const taken = first.address();
    const port = typeof taken === 'object' && taken !== null ? taken.port : 0;
    await expect(
      listen(createServer(), { kind: 'tcp', host: '127.0.0.1', port }, 'admin'),
    ).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
      message: expect.stringContaining('`admin`') as string,
    });
  });

  it('on a Unix socket replaces that of an ended process, with mode 0660', async () => {
    const path = join(temporaryDirectory(), 'a.sock');
    const dead = createServer();
    await listen(dead, { kind: 'unix', path }, 'listen');
    // A process that dies leaves its socket behind: keep the file, drop the listener.
    const { execFileSync } = await import('node:child_process');
    const script = `require('net').createServer().listen(${JSON.stringify(`${path}2`)}, () => process.kill(process.pid, 'SIGKILL'))`;
    try {
      execFileSync(process.execPath, ['-e', script]);
    } catch {
      // Killed, as meant.
    }
    expect(statSync(`${path}2`).isSocket()).toBe(true);
    const live = createServer();
    await listen(live, { kind: 'unix', path: `${path}2` }, 'listen');
    onTestFinished(() => {
      dead.close();
      live.close();
    });
    expect(statSync(`${path}2`).mode & 0o777).toBe(0o660);
  });

  it('on a Unix socket of a live process is refused', async () => {
    const path = join(temporaryDirectory(), 'a.sock');
    const live = createServer();
    await listen(live, { kind: 'unix', path }, 'listen');
    onTestFinished(() => void live.close());
    await expect(listen(createServer(), { kind: 'unix', path }, 'listen')).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    });
  });

  it('never removes a file that is not a socket', async () => {
    const path = join(temporaryDirectory(), 'precious');
    writeFileSync(path, 'data');
    await expect(listen(createServer(), { kind: 'unix', path }, 'listen')).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    });
    expect(statSync(path).size).toBe(4);
  });

  it('on a Unix socket in a folder that does not exist says so', async () => {
    const path = join(temporaryDirectory(), 'missing', 'a.sock');
    await expect(listen(createServer(), { kind: 'unix', path }, 'listen')).rejects.toMatchObject({
      code: 'ERR_LISTEN_FAILED',
      message: expect.stringContaining('does not exist; create it') as string,
    });
  });
});

it('a server that is about to close accepts every pending connection', async () => {
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
    socket.on('error', () => {}).resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const clients = Array.from({ length: 50 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  // They are connected as far as the kernel is concerned.
  await Promise.all(clients.map((client) => once(client, 'connect')));
  await acceptWaiting(server);
  server.close();
  expect(accepted).toBe(50);
  for (const client of clients) client.destroy();
});
