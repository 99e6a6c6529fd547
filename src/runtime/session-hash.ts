import { hash } from 'node:crypto';

/**
 * Identifies a session in logs. Its lines can be found by it, but the session can't be revoked or guessed.
 */
export const sessionHash = (id: string): string => hash('sha256', id, 'hex').slice(0, 12);
