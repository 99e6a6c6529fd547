import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { Fault } from '../runtime/fault.ts';
import { headFields, readHead, writeHead, type ReadHead } from '../revocation-log/head.ts';
import { logKeys, writeSentinel, type LogKeys } from '../revocation-log/keys.ts';
import type { PageRequest } from '../revocation-log/log-reading.ts';
import { writeMessage } from '../revocation-log/message.ts';
import { readPage } from '../revocation-log/redis-page.ts';
import { logStatuses, type Append, type Hold, type LogReply, type Seed, type Switch } from './log-writes.ts';

/** How long readers can still read the log of a previous epoch; seconds. */
const oldEpochSeconds = 60;

type Script = { readonly text: string; readonly sha1: string };

function loadScript(file: URL): Script {
  const text = readFileSync(file, 'utf8');
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

const scripts = {
  append: loadScript(new URL('./append.lua', import.meta.url)),
  seed: loadScript(new URL('./seed.lua', import.meta.url)),
  switch: loadScript(new URL('./switch.lua', import.meta.url)),
  hold: loadScript(new URL('./hold.lua', import.meta.url)),
  check: loadScript(new URL('./check.lua', import.meta.url)),
};

export type RedisLogOptions = {
  readonly client: Redis;
  readonly logName: string;
  readonly owner: string;
  readonly covers: readonly string[];
  readonly retentionSeconds: number;
};

/**
 * The owner's access to the log over one connection. After a failed call it is unknown whether the call took
 * effect.
 */
export class RedisLog {
  readonly #options: RedisLogOptions;
  readonly #keys: LogKeys;

  constructor(options: RedisLogOptions) {
    this.#options = options;
    this.#keys = logKeys(options.logName);
  }

  async head(): Promise<ReadHead> {
    return readHead(await this.#options.client.hmget(this.#keys.head, ...headFields));
  }

  /** Reads a page of the log, for an import. */
  readPage(page: PageRequest): Promise<readonly unknown[]> {
    return readPage(this.#options.client, this.#keys.log(page.epoch), page);
  }

  /**
   * @returns false if the log has another owner or epoch, if another process holds it, or if the hold has
   * expired
   */
  async hold({ owner, epoch, token, isFirst }: Hold): Promise<boolean> {
    const keys = [this.#keys.head, this.#keys.head.replace(/head$/, 'hold')];
    return (await this.#eval('hold', keys, [owner, epoch, token, isFirst ? '1' : '0'])) === 1;
  }

  append({ epoch, seq, beat, trimBelow, members }: Append): Promise<LogReply> {
    const { owner } = this.#options;
    const message = writeMessage(owner, epoch, seq + members.length, members);
    const sentinel = writeSentinel(owner, epoch);
    const numbers = [seq, beat ?? '', trimBelow ?? ''];
    return this.#run('append', epoch, [
      this.#keys.events,
      owner,
      epoch,
      sentinel,
      ...numbers,
      message,
      ...members,
    ]);
  }

  seed({ epoch, isFirst, firstSeq, members, takeover }: Seed): Promise<LogReply> {
    const { owner } = this.#options;
    const sentinel = writeSentinel(owner, epoch);
    const mode = isFirst ? '1' : '0';
    return this.#run('seed', epoch, [
      owner,
      epoch,
      sentinel,
      mode,
      takeover?.owner ?? '',
      firstSeq,
      ...members,
    ]);
  }

  switch({ epoch, count, takeover }: Switch): Promise<LogReply> {
    const { owner, covers, retentionSeconds } = this.#options;
    const start = { epoch, seq: count, beat: 0, trimBelow: 1 };
    const fields = writeHead({ owner, covers, truth: 'owner', retentionSeconds, ...start });
    return this.#run('switch', epoch, [
      owner,
      epoch,
      writeSentinel(owner, epoch),
      count,
      takeover?.owner ?? '',
      takeover?.seq ?? '',
      takeover?.hold ?? '',
      ...fields,
    ]);
  }

  /** Lets the logs of previous epochs expire. */
  async expire(epochs: readonly number[]): Promise<void> {
    for (const epoch of epochs) await this.#options.client.expire(this.#keys.log(epoch), oldEpochSeconds);
  }

  /** @throws ERR_REDIS_PERMISSION, which names the denied commands */
  async checkRights(): Promise<void> {
    const ignored = writeMessage(this.#options.owner, 0, 0, []);
    const keys = [`${this.#keys.head}:check`, this.#keys.log(0)];
    const errors = await this.#eval('check', keys, [this.#keys.events, ignored]);
    if (!Array.isArray(errors) || errors.length === 0) return;
    throw new Fault('ERR_REDIS_PERMISSION', `the Redis user lacks rights: ${errors.map(String).join('; ')}`);
  }

  /** `maxmemory-policy` of Redis, such as `noeviction`; undefined if Redis doesn't report it. */
  async evictionPolicy(): Promise<string | undefined> {
    const info = await this.#options.client.info('memory');
    return /^maxmemory_policy:(?<policy>\S+)/m.exec(info)?.groups?.['policy'];
  }

  async #run(
    name: keyof typeof scripts,
    epoch: number,
    args: readonly (string | number)[],
  ): Promise<LogReply> {
    return readReply(await this.#eval(name, [this.#keys.head, this.#keys.log(epoch)], args));
  }

  async #eval(
    name: keyof typeof scripts,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const { client } = this.#options;
    const { text, sha1 } = scripts[name];
    try {
      return await client.evalsha(sha1, keys.length, ...keys, ...args);
    } catch (thrown) {
      // NOSCRIPT: Redis has not cached the script and did not run it.
      if (!(thrown instanceof Error) || !thrown.message.startsWith('NOSCRIPT')) throw thrown;
      return client.eval(text, keys.length, ...keys, ...args);
    }
  }
}

function readReply(reply: unknown): LogReply {
  const [status, owner, epoch, seq, beat] = Array.isArray(reply) ? reply.map(String) : [];
  const known = logStatuses.find((name) => name === status);
  if (known === undefined) throw new Fault('ERR_LOG_INVALID', 'a script gave an unexpected reply');
  return { status: known, owner: owner ?? '', epoch: Number(epoch), seq: Number(seq), beat: Number(beat) };
}
