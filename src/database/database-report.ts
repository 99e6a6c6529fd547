import type { Log } from '../runtime/log.ts';
import type { DatabaseReport } from './postgres-pool.ts';

/**
 * Logs when the database becomes unavailable and when it is available again, but not each failed statement.
 */
export const createDatabaseReport = (log: Log): DatabaseReport => ({
  connectionLost: (thrown) => log.debug('lost connection to the database', { err: thrown }),
  unavailable: (fault) => log.error('the database is unavailable', { err: fault }),
  available: () => log.info('the database is available again'),
});
