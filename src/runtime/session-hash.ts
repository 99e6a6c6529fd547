import { hash } from 'node:crypto';

/** A session's name in logs: enough to find its lines again, too little to revoke or guess it. */
export const sessionHash = (id: string): string => hash('sha256', id, 'hex').slice(0, 12);
