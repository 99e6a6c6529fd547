import type { Redis } from 'ioredis';
import type { RedisSource } from './completeness.ts';

/** Reads which data set the server holds, and whether the server is the master. */
export async function readSource(client: Redis): Promise<RedisSource> {
  const info = await client.info('replication');
  return { isMaster: field(info, 'role') === 'master', id: field(info, 'master_replid') ?? '' };
}

const field = (info: string, name: string): string | undefined =>
  info
    .split('\r\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1);
