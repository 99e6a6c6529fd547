import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { Redis, type RedisOptions as AllClientOptions } from 'ioredis';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';
import type { Secret } from '../runtime/secret.ts';

type ClientOptions = Omit<AllClientOptions, 'replyMapping'>;

/**
 * The address and credentials of Redis, in the shape of the configuration. Files and secrets are read at each
 * connection.
 */
export type RedisOptions = {
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
  /** Paths of PEM files. */
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
        readonly serverName?: string | undefined;
      }
    | undefined;
} & (
  | { readonly url: string }
  | {
      readonly sentinels: readonly { readonly host: string; readonly port: number }[];
      /** The name of the master that the sentinels monitor. */
      readonly name: string;
      readonly sentinelPassword?: Secret | undefined;
    }
);

export type ConnectOptions = {
  /** The name that `CLIENT LIST` shows. */
  readonly connectionName: string;
  /** A command without an answer fails after this time; ms. Default: only `socketTimeoutMs` applies. */
  readonly commandTimeoutMs?: number;
};

const connectTimeoutMs = 2000;
/**
 * A socket without data for this long after a command counts as dead; ms. TCP keep-alive would take minutes.
 */
const socketTimeoutMs = 2000;

/** Host and port, or the master name of the sentinels, for logs; never a credential. */
export function describeRedis(redis: RedisOptions): string {
  if (!('url' in redis)) return `${redis.name} by sentinel`;
  const { hostname, port } = new URL(redis.url);
  return `${hostname}:${port === '' ? 6379 : port}`;
}

/**
 * Opens one connection. It is never reopened: its owner sees the end and decides when to open another one,
 * which reads the credentials again.
 * @throws ERR_REDIS_UNAVAILABLE, ERR_REDIS_PERMISSION, ERR_SECRET_UNREADABLE
 */
export async function openRedis(redis: RedisOptions, options: ConnectOptions): Promise<Redis> {
  const client = new Redis(clientOptions(redis, options));
  let firstError: unknown;
  // Without a listener, ioredis prints errors to the console.
  client.on('error', (thrown: unknown) => (firstError ??= thrown));
  try {
    await client.connect();
    await refuseResp2(client);
  } catch (thrown) {
    closeRedis(client);
    throw asFault(firstError ?? thrown, redis);
  }
  return client;
}

export type RedisConnection = {
  readonly client: Redis;
  /** Closes the connection. The first reason that is given becomes the outcome of `ended`. */
  fail(reason: unknown): void;
  /** Resolves when the connection has ended, with the first error or reason; undefined for a plain end. */
  readonly ended: Promise<unknown>;
};

/** Opens a connection as `openRedis` does, and collects why it ends. */
export async function holdRedis(redis: RedisOptions, options: ConnectOptions): Promise<RedisConnection> {
  const client = await openRedis(redis, options);
  const { promise: ended, resolve } = Promise.withResolvers<unknown>();
  let firstReason: unknown;
  const fail = (reason: unknown): void => {
    firstReason ??= reason;
    closeRedis(client);
  };
  client.on('error', fail);
  client.once('end', () => resolve(firstReason));
  return { client, fail, ended };
}

/**
 * Closes a connection. Disconnecting one that has already ended would keep the process alive for two more
 * seconds.
 */
export function closeRedis(client: Redis): void {
  if (client.status !== 'end') client.disconnect();
}

/** ioredis falls back to RESP2 silently. With RESP2, a subscribed connection can't run commands. */
async function refuseResp2(client: Redis): Promise<void> {
  const reply: unknown = await client.call('HELLO');
  const fields = Array.isArray(reply) ? reply : [];
  if (Number(fields[fields.indexOf('proto') + 1]) !== 3)
    throw new Fault('ERR_REDIS_UNAVAILABLE', 'Redis does not speak RESP3: version 6.2 or newer is needed');
}

const permissionErrors = /^(?:NOAUTH|WRONGPASS|NOPERM)\b/;

/** A Redis error as a fault that names the server but no credential. */
export function asFault(thrown: unknown, redis: RedisOptions): Fault {
  if (thrown instanceof Fault) return thrown;
  const { message } = describeError(thrown);
  const code = permissionErrors.test(message) ? 'ERR_REDIS_PERMISSION' : 'ERR_REDIS_UNAVAILABLE';
  return new Fault(code, `Redis at ${describeRedis(redis)}: ${message}`, { cause: thrown });
}

function clientOptions(redis: RedisOptions, options: ConnectOptions): ClientOptions {
  const tls = tlsOptions(redis);
  return {
    protocol: 3,
    lazyConnect: true,
    connectionName: options.connectionName,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: connectTimeoutMs,
    socketTimeout: socketTimeoutMs,
    // CLIENT SETINFO exists since Redis 7.2, and the ACL of an older Redis can't allow it.
    disableClientInfo: true,
    retryStrategy: () => null,
    ...(options.commandTimeoutMs === undefined ? {} : { commandTimeout: options.commandTimeoutMs }),
    ...target(redis, tls),
    ...(redis.username === undefined ? {} : { username: redis.username }),
    ...(redis.password === undefined ? {} : { password: redis.password.text() }),
  };
}

function target(redis: RedisOptions, tls: ConnectionOptions | undefined): ClientOptions {
  if ('url' in redis) {
    const { hostname, port, username, password, pathname } = new URL(redis.url);
    return {
      host: hostname.replaceAll(/[[\]]/g, ''),
      port: port === '' ? 6379 : Number(port),
      db: Number(pathname.slice(1)) || 0,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(tls === undefined ? {} : { tls }),
    };
  }
  return {
    sentinels: redis.sentinels.map(({ host, port }) => ({ host, port })),
    name: redis.name,
    role: 'master',
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: connectTimeoutMs,
    ...(redis.sentinelPassword === undefined ? {} : { sentinelPassword: redis.sentinelPassword.text() }),
    ...(tls === undefined ? {} : { tls, enableTLSForSentinelMode: true, sentinelTLS: tls }),
  };
}

function tlsOptions(redis: RedisOptions): ConnectionOptions | undefined {
  const wanted = redis.tls !== undefined || ('url' in redis && redis.url.startsWith('rediss:'));
  if (!wanted) return undefined;
  const { ca, cert, key, serverName } = redis.tls ?? {};
  const pem = (path: string | undefined, name: 'ca' | 'cert' | 'key') =>
    path === undefined ? {} : { [name]: readPem(path) };
  return {
    minVersion: 'TLSv1.2',
    // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment has no effect.
    rejectUnauthorized: true,
    ...pem(ca, 'ca'),
    ...pem(cert, 'cert'),
    ...pem(key, 'key'),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (thrown) {
    throw new Fault('ERR_SECRET_UNREADABLE', `cannot read ${path}: ${describeError(thrown).message}`);
  }
}
