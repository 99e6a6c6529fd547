import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { BlockList, connect, isIP } from 'node:net';
import type { ListenOptions, Server } from 'node:net';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Fault } from './fault.ts';

/** Where a program listens. A missing host means every interface. */
export type Address =
  | { kind: 'tcp'; host: string | undefined; port: number }
  | { kind: 'unix'; path: string };

const hostAndPort = /^(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]/\s]*):(?<port>\d{1,5})$/;

/** Parses `host:port`, `:port`, `[::1]:port` or `unix:///absolute/path`; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) {
    const path = text.startsWith('unix:///') ? text.slice('unix://'.length) : '';
    // sun_path holds 108 bytes with its terminating zero (unix(7)).
    return path.length > 1 && Buffer.byteLength(path) < 108 ? { kind: 'unix', path } : undefined;
  }
  const groups = hostAndPort.exec(text)?.groups;
  const port = Number(groups?.['port']);
  if (groups === undefined || port > 65_535) return undefined;
  const host = groups['host']?.replaceAll(/[[\]]/g, '');
  return { kind: 'tcp', host: host === '' ? undefined : host, port };
}

export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  const host = address.host ?? '';
  return host.includes(':') ? `[${host}]:${address.port}` : `${host}:${address.port}`;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * True for an IP address of the loopback range, an IPv4-mapped one included, and for `localhost` (RFC 6761
 * §6.3).
 */
export function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false;
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Removes the Unix socket of a process that has ended. A socket that accepts connections stays, and so does a
 * file of another type.
 * @throws ERR_ADDRESS_IN_USE
 */
export async function removeDeadSocket(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new Fault(
      'ERR_ADDRESS_IN_USE',
      `${path} exists and is not a socket; remove it or choose another path`,
    );
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path, () => resolve(true));
  probe.once('error', () => resolve(false));
  const alive = await promise;
  probe.destroy();
  if (alive)
    throw new Fault(
      'ERR_ADDRESS_IN_USE',
      `another process listens on ${path}; stop it or choose another path`,
    );
  unlinkSync(path);
}

/** Makes a Unix socket accessible to its owner and its group only. */
export const restrictSocket = (path: string): void => chmodSync(path, 0o660);

/** Turns a listen error into one that says what to do. */
export function listenFault(thrown: unknown, address: Address, setting: string): Fault {
  const where = formatAddress(address);
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  if (code === 'EADDRINUSE') {
    return new Fault(
      'ERR_ADDRESS_IN_USE',
      `${where} is in use; stop the other process or change \`${setting}\``,
      { cause: thrown },
    );
  }
  // libuv reports a missing folder as EACCES, which suggests that a permission is missing.
  if (address.kind === 'unix' && !existsSync(dirname(address.path))) {
    return new Fault(
      'ERR_LISTEN_FAILED',
      `cannot listen on ${where} (${setting}): the folder does not exist; create it, writable for this program`,
    );
  }
  return new Fault('ERR_LISTEN_FAILED', `cannot listen on ${where} (${setting})`, { cause: thrown });
}

/** More connections than Node's default backlog holds (511). */
const maxTurns = 1024;

/**
 * Accepts the connections that are still in the listen backlog. Call it before the server is closed: closing
 * resets them, and the requests on them are lost. Node accepts one connection per turn of the event loop.
 */
export async function acceptWaiting(server: Server): Promise<void> {
  let quietTurns = 0;
  const onConnection = (): void => {
    quietTurns = 0;
  };
  server.on('connection', onConnection);
  // The poll phase of the first turn may be over, so one turn without a connection proves nothing.
  for (let turns = 0; quietTurns < 2 && turns < maxTurns; turns += 1) {
    quietTurns += 1;
    await setImmediate();
  }
  server.off('connection', onConnection);
}

/** Listens and resolves once bound. @throws ERR_ADDRESS_IN_USE, ERR_LISTEN_FAILED */
export async function listen(server: Server, address: Address, setting: string): Promise<void> {
  const options: ListenOptions =
    address.kind === 'unix'
      ? { path: address.path }
      : { port: address.port, ...(address.host === undefined ? {} : { host: address.host }) };
  if (address.kind === 'unix') await removeDeadSocket(address.path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // `listen` binds the socket synchronously. The umask keeps others from connecting before `restrictSocket`.
  const umask = address.kind === 'unix' ? process.umask(0o117) : undefined;
  server.listen(options, () => resolve());
  if (umask !== undefined) process.umask(umask);
  try {
    await promise;
  } catch (thrown) {
    throw listenFault(thrown, address, setting);
  }
  server.off('error', reject);
  if (address.kind === 'unix') restrictSocket(address.path);
}
