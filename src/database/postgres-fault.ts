import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';

/** What an error means for the statement and for the connection. */
export type PostgresFailure = {
  /** The same statement may succeed later. */
  readonly isTransient: boolean;
  /** The connection must not be used again. */
  readonly isConnectionBroken: boolean;
};

/** The statement may succeed later, on the same connection. See PostgreSQL, appendix A. */
const conflicts: ReadonlySet<string> = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '57014', // query_canceled: statement_timeout
]);

/** The server ended the connection, or the server must not be used. */
const endings: ReadonlySet<string> = new Set([
  '25006', // read_only_sql_transaction: a replica, or a primary that was demoted
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P04', // database_dropped
  '57P05', // idle_session_timeout
]);

/** Classes of codes: connection exception (a pooler's errors too), insufficient resources, system error. */
const endingClasses: ReadonlySet<string> = new Set(['08', '53', '58']);

/** Reads the SQLSTATE of a failed statement. */
export function readFailure(thrown: unknown): PostgresFailure {
  const { code } = describeError(thrown);
  if (code === undefined) return { isTransient: false, isConnectionBroken: false };
  if (conflicts.has(code)) return { isTransient: true, isConnectionBroken: false };
  const isEnding = endings.has(code) || endingClasses.has(code.slice(0, 2));
  return { isTransient: isEnding, isConnectionBroken: isEnding };
}

/** PgBouncer refuses start-up parameters that it doesn't pass on. The code alone isn't specific enough. */
export function isRefusedParameter(thrown: unknown): boolean {
  const { code, message } = describeError(thrown);
  return code === '08P01' && message.includes('unsupported startup parameter');
}

export function unavailable(thrown: unknown): Fault {
  if (thrown instanceof Fault && thrown.code === 'ERR_DATABASE_UNAVAILABLE') return thrown;
  return new Fault(
    'ERR_DATABASE_UNAVAILABLE',
    `the database is unavailable: ${describeError(thrown).message}`,
  );
}
