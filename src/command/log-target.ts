import * as v from 'valibot';
import { authorizerSchema, type AuthorizerConfig } from '../config/authorizer.ts';
import { logName, redisSchema } from '../config/redis.ts';
import type { RedisOptions } from '../redis/connection.ts';
import { environmentSetting, loadConfig } from '../runtime/config.ts';
import { optionalText, usageFault, type ParsedArguments } from './command.ts';

/** Which revocation log a command is about. */
export type LogTarget = {
  readonly redis: RedisOptions;
  readonly logName: string;
  /** The authorizer that follows it, when its configuration was named. */
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
 * The log named by `--redis` and `--log`, or by an authorizer's configuration. A password comes with the URL, from
 * the configuration, or from the environment variable that stands for the configuration's.
 * @throws ERR_USAGE, ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE
 */
export function readLogTarget(parsed: ParsedArguments): LogTarget {
  const url = optionalText(parsed, 'redis');
  const name = optionalText(parsed, 'log');
  const file = optionalText(parsed, 'config');
  if (url !== undefined && file !== undefined) throw usageFault('either --redis or --config, not both');
  if (url !== undefined) return { ...readRedisTarget(url, name), authorizer: undefined };
  if (file === undefined) throw usageFault('--redis or --config is missing');
  if (name !== undefined) throw usageFault('--log goes with --redis: the configuration names its log');
  const authorizer = loadConfig({ schema: authorizerSchema, file });
  const { revocation } = authorizer;
  if (revocation === undefined) throw usageFault(`${file} configures no revocation`);
  return { redis: revocation.redis, logName: revocation.log, authorizer };
}

/** @throws ERR_USAGE; never with the URL in it, which may hold a password */
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
