import type { Log } from '../runtime/log.ts';
import type { DatabaseReport } from './postgres-pool.ts';

/** Logs when the database goes away and when it is back; not each statement that failed meanwhile. */
export const createDatabaseReport = (log: Log): DatabaseReport => ({
  connectionLost: (thrown) => log.debug('database connection lost', { err: thrown }),
  unavailable: (fault) => log.error('the database is unavailable', { err: fault }),
  available: () => log.info('the database is available again'),
});
