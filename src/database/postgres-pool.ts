import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg, { type ClientConfig, type PoolClient } from 'pg';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';
import type { Secret } from '../runtime/secret.ts';
import { isRefusedParameter, readFailure, unavailable } from './postgres-fault.ts';
import { urlsOf } from './postgres-hosts.ts';

/** Receives changes in the availability of the database, for the log. */
export type DatabaseReport = {
  /** The server or the network ended a connection, idle or in use. The pool replaces it. */
  connectionLost(thrown: unknown): void;
  /** The first statement failed because the database is unavailable. */
  unavailable(fault: Fault): void;
  /** After that, a statement succeeded again. */
  available(): void;
};

export type PostgresPoolOptions = {
  /** Read at each new connection, so that a changed password file takes effect. */
  readonly url: Pick<Secret, 'text'>;
  readonly poolSize: number;
  /**
   * Longest time of one statement, limited by the server and by the client; ms. The wait for a connection has
   * the same limit, but at most 5 s.
   */
  readonly statementTimeoutMs: number;
  readonly report?: DatabaseReport | undefined;
};

const connectTimeoutMs = 5000;
/**
 * How much longer than the server's own limit the client waits for a statement; ms. Only a hanging server
 * exceeds it.
 */
const answerGraceMs = 2000;
/** The message of pg-pool's error if no connection became free in time. */
const poolIsBusy = 'timeout exceeded when trying to connect';
const keepAliveDelayMs = 10_000;
/** How long a close waits for the servers to end the connections; ms. */
const closeTimeoutMs = 1000;

/**
 * A pool that survives the loss of its server. It throws ERR_DATABASE_UNAVAILABLE for errors that may not
 * happen again, ends statements that get no answer, and uses only servers that accept writes.
 */
export class ResilientPool implements PostgresPool {
  readonly options: object = {};
  readonly #options: PostgresPoolOptions;
  readonly #pool: pg.Pool;
  readonly #open = new Set<pg.Client>();
  readonly #connections = new WeakMap<PoolClient, PooledConnection>();
  /** The index of the host to connect to. */
  #host = 0;
  /**
   * False after a pooler has refused time limits as start-up parameters. Each transaction sets them as well.
   */
  #sendsLimits = true;
  #isAvailable = true;

  constructor(options: PostgresPoolOptions) {
    this.#options = options;
    this.#pool = new pg.Pool({
      Client: this.#clientClass(),
      max: options.poolSize,
      connectionTimeoutMillis: Math.min(connectTimeoutMs, options.statementTimeoutMs + answerGraceMs),
      types,
    });
    // The listener in `#opened` handles errors of idle connections too.
    this.#pool.on('error', () => undefined);
  }

  async connect(): Promise<PostgresPoolClient> {
    const hosts = urlsOf(this.#options.url.text()).length;
    for (let attempt = 1; ; attempt += 1) {
      const host = this.#host;
      try {
        return await this.#connect();
      } catch (thrown) {
        if (describeError(thrown).message === poolIsBusy) throw this.#failed(this.#busy());
        // Another request may have selected the next host already.
        if (this.#host === host) this.#host = (host + 1) % hosts;
        if (attempt >= hosts) throw this.#failed(unavailable(thrown));
      }
    }
  }

  async end(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, closeTimeoutMs);
    await Promise.race([this.#pool.end(), late]);
    clearTimeout(timer);
    for (const client of this.#open) client.connection.stream.destroy();
  }

  async #connect(): Promise<PooledConnection> {
    const client = await this.#checkOut();
    const known = this.#connections.get(client);
    if (known !== undefined) return known;
    const connection = new PooledConnection(client, {
      timeoutMs: this.#options.statementTimeoutMs + answerGraceMs,
      failed: (fault) => this.#failed(fault),
      // A server counts as available only after it has proven that it accepts writes.
      succeeded: () => {
        if (this.#connections.has(client)) this.#succeeded();
      },
    });
    try {
      await requireWritable(connection);
    } catch (thrown) {
      connection.release(true);
      throw thrown;
    }
    this.#connections.set(client, connection);
    return connection;
  }

  async #checkOut(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (thrown) {
      if (!isRefusedParameter(thrown)) throw thrown;
      this.#sendsLimits = false;
      return await this.#pool.connect();
    }
  }

  #busy(): Fault {
    return unavailable(new Error(`all ${this.#options.poolSize} connections of the pool are in use`));
  }

  #failed(fault: Fault): Fault {
    if (this.#isAvailable) this.#options.report?.unavailable(fault);
    this.#isAvailable = false;
    return fault;
  }

  #succeeded(): void {
    if (!this.#isAvailable) this.#options.report?.available();
    this.#isAvailable = true;
  }

  #clientClass(): typeof pg.Client {
    const configOf = (config: string | ClientConfig | undefined): ClientConfig => ({
      ...(typeof config === 'object' ? config : {}),
      ...this.#clientConfig(),
    });
    const opened = (client: pg.Client): void => this.#opened(client);
    return class CurrentClient extends pg.Client {
      constructor(config?: string | ClientConfig) {
        super(configOf(config));
        opened(this);
      }
    };
  }

  #clientConfig(): ClientConfig {
    const { url, statementTimeoutMs } = this.#options;
    const urls = urlsOf(url.text());
    return {
      connectionString: urls[this.#host % urls.length] ?? '',
      application_name: 'curfew',
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveDelayMs,
      ...(this.#sendsLimits
        ? {
            statement_timeout: statementTimeoutMs,
            idle_in_transaction_session_timeout: statementTimeoutMs,
          }
        : {}),
    };
  }

  #opened(client: pg.Client): void {
    this.#open.add(client);
    client.once('end', () => this.#open.delete(client));
    let isConnected = false;
    client.once('connect', () => (isConnected = true));
    let isReported = false;
    // The pool only listens to idle connections. Without this listener, an error of any other would end the
    // process.
    client.on('error', (thrown) => {
      if (isConnected && !isReported) this.#options.report?.connectionLost(thrown);
      isReported = true;
    });
  }
}

/** A replica or a demoted primary refuses every write, so the pool must look for another host at once. */
async function requireWritable(connection: PooledConnection): Promise<void> {
  const { rows } = await connection.query<{ transaction_read_only: string }>(
    'show transaction_read_only',
    [],
  );
  if (rows[0]?.transaction_read_only !== 'off') throw new Error('the server is read-only');
}

// The bigint columns hold milliseconds and counts of rows, far below 2^53, so they can be numbers.
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format),
};

type PooledConnectionOptions = {
  readonly timeoutMs: number;
  failed(fault: Fault): Fault;
  succeeded(): void;
};

/** A connection of the pool, with the interface that Kysely uses. */
class PooledConnection implements PostgresPoolClient {
  readonly #client: PoolClient;
  readonly #options: PooledConnectionOptions;
  /** Why the connection must not be used any more. */
  #brokenBy: unknown;

  constructor(client: PoolClient, options: PooledConnectionOptions) {
    this.#client = client;
    this.#options = options;
    client.on('error', (thrown) => (this.#brokenBy ??= thrown));
    client.on('end', () => (this.#brokenBy ??= new Error('the connection has ended')));
  }

  query<Row>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query<Row>(cursor: PostgresCursor<Row>): PostgresCursor<Row>;
  query<Row>(
    statement: string | PostgresCursor<Row>,
    parameters: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<Row>> & PostgresCursor<Row> {
    if (typeof statement !== 'string') throw new Fault('ERR_INTERNAL', 'cursors are not used');
    return this.#run<Row>(statement, parameters) as Promise<PostgresQueryResult<Row>> & PostgresCursor<Row>;
  }

  release(isToDestroy = false): void {
    // An open transaction must not pass to the next user of the connection.
    const isIdle = this.#client.getTransactionStatus() === 'I';
    this.#client.release(isToDestroy || this.#brokenBy !== undefined || !isIdle);
  }

  async #run<Row>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>> {
    if (this.#brokenBy !== undefined) throw this.#options.failed(unavailable(this.#brokenBy));
    const timer = setTimeout(() => this.#giveUp(), this.#options.timeoutMs);
    try {
      const result: unknown = await this.#client.query(text, [...parameters]);
      this.#options.succeeded();
      return result as PostgresQueryResult<Row>;
    } catch (thrown) {
      throw this.#faultOf(thrown);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The server may still be executing the statement. Closing the connection ends both. */
  #giveUp(): void {
    this.#brokenBy ??= new Error(`no answer within ${this.#options.timeoutMs} ms`);
    this.#client.connection.stream.destroy();
  }

  #faultOf(thrown: unknown): unknown {
    const { isTransient, isConnectionBroken } = readFailure(thrown);
    if (isConnectionBroken) this.#brokenBy ??= thrown;
    if (this.#brokenBy !== undefined) return this.#options.failed(unavailable(this.#brokenBy));
    return isTransient ? unavailable(thrown) : thrown;
  }
}
