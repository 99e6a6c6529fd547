import type { Redis } from 'ioredis';
import { pageSize, type PageRequest } from './log-reading.ts';

/** Reads a page of an epoch's log: alternating members and scores, highest score first. */
export async function readPage(client: Redis, key: string, page: PageRequest): Promise<readonly unknown[]> {
  const below = page.below === Infinity ? '+inf' : `(${page.below}`;
  const above = page.above < 0 ? '0' : `(${page.above}`;
  const range = ['BYSCORE', 'REV', 'LIMIT', '0', String(pageSize), 'WITHSCORES'];
  const reply = await client.call('zrange', [key, below, above, ...range]);
  // RESP3 replies with pairs, RESP2 with a flat list.
  return Array.isArray(reply) ? reply.flat() : [];
}
