import * as v from 'valibot';
import { authorizerSchema, type AuthorizerConfig } from '../config/authorizer.ts';
import { logName, redisSchema } from '../config/redis.ts';
import type { RedisOptions } from '../redis/connection.ts';
import { environmentSetting, loadConfig } from '../runtime/config.ts';
import { optionalText, usageFault, type ParsedArguments } from './command.ts';

/** The revocation log that a command works on. */
export type LogTarget = {
  readonly redis: RedisOptions;
  readonly logName: string;
  /** The configuration of the authorizer that follows it; undefined with `--redis`. */
  readonly authorizer: AuthorizerConfig | undefined;
};

/** The options that `readLogTarget` reads. */
export const logTargetOptions = {
  redis: { type: 'string' },
  log: { type: 'string' },
  config: { type: 'string' },
} as const;

export const logTargetUsage = '(--redis URL [--log NAME] | --config AUTHORIZER_FILE)';

/**
 * The log that `--redis` and `--log` name, or an authorizer's configuration. The password comes from the URL,
 * from the configuration, or from the environment variable that overrides the configuration.
 * @throws ERR_USAGE, ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE
 */
export function readLogTarget(parsed: ParsedArguments): LogTarget {
  const url = optionalText(parsed, 'redis');
  const name = optionalText(parsed, 'log');
  const file = optionalText(parsed, 'config');
  if (url !== undefined && file !== undefined) throw usageFault('use either --redis or --config, not both');
  if (url !== undefined) return { ...readRedisTarget(url, name), authorizer: undefined };
  if (file === undefined) throw usageFault('--redis or --config is missing');
  if (name !== undefined) throw usageFault('--log requires --redis: a configuration names its log');
  const authorizer = loadConfig({ schema: authorizerSchema, file });
  const { revocation } = authorizer;
  if (revocation === undefined) throw usageFault(`${file} has no revocation section`);
  return { redis: revocation.redis, logName: revocation.log, authorizer };
}

/** @throws ERR_USAGE, without the URL, which may contain a password */
export function readRedisTarget(
  url: string,
  name: string | undefined,
): { redis: RedisOptions; logName: string } {
  const log = v.safeParse(logName, name ?? 'curfew');
  if (!log.success) throw usageFault(`--log ${log.issues[0].message}`);
  const hasPassword = URL.canParse(url) && new URL(url).password !== '';
  const credentials = hasPassword
    ? {}
    : {
        username: environmentSetting('REVOCATION__REDIS__USERNAME'),
        password: environmentSetting('REVOCATION__REDIS__PASSWORD'),
      };
  const redis = v.safeParse(redisSchema, { url, ...credentials });
  if (!redis.success)
    throw usageFault('--redis must be a URL: redis://HOST:PORT, or rediss://HOST:PORT for TLS');
  return { redis: redis.output, logName: log.output };
}
