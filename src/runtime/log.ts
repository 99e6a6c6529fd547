import { pino, type DestinationStream } from 'pino';
import { build } from './version.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * The only fields of a log line. None of them holds a credential. A session is identified by its short hash
 * (`sessionHash`).
 */
export type LogFields = {
  address?: string;
  aheadMs?: number;
  attempt?: number;
  audience?: string;
  bytes?: number;
  cause?: string;
  claim?: string;
  client?: string;
  code?: string;
  count?: number;
  covers?: readonly string[];
  decision?: string;
  delayMs?: number;
  durationMs?: number;
  /** The HTTP/2 implementation that serves the port. */
  engine?: string;
  epoch?: number;
  err?: unknown;
  event?: string;
  expected?: string;
  file?: string;
  found?: string;
  grant?: string;
  host?: string;
  issuer?: string;
  keyId?: string;
  kind?: string;
  log?: string;
  method?: string;
  mode?: string;
  namespace?: string;
  owner?: string;
  part?: string;
  pod?: string;
  reason?: string;
  requestId?: string;
  result?: string;
  /** The commit that the program was built from. */
  revision?: string;
  route?: string;
  seq?: number;
  sessionHash?: string;
  signal?: string;
  stalenessMs?: number;
  state?: string;
  status?: number;
  version?: string;
};

/**
 * A log of constant messages with allow-listed fields. `docs/log-messages.md` lists the messages.
 * Cost: one JSON line, written synchronously by pino's default stream.
 */
export type Log = {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  isDebug(): boolean;
};

// A second line of defence: libraries put arbitrary values into their messages. Clients choose texts of up to
// 60 KiB, so both patterns match only from the beginning of a word, which keeps the time linear.
const dottedWord = /[\w.-]+/g;
const urlUserInfo = /(?<!\w)(\w+:\/\/)[^/\s@]*@/g;
// The minimum length of the first part of a compact JWS. `eyJ` is `{"` in base64url.
const minHeaderLength = 8;

/** Removes what looks like a JWT or a URL's user information from a text. Cost: linear in its length. */
export function withoutCredentials(text: string): string {
  return text.replaceAll(dottedWord, withoutTokens).replaceAll(urlUserInfo, '$1[redacted]@');
}

function withoutTokens(word: string): string {
  if (!word.includes('eyJ')) return word;
  const parts = word.split('.');
  const kept: string[] = [];
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index] ?? '';
    const start = part.indexOf('eyJ');
    const isToken =
      start !== -1 &&
      part.length - start >= minHeaderLength &&
      parts[index + 1] !== '' &&
      index + 2 < parts.length;
    kept.push(isToken ? `${part.slice(0, start)}[token]` : part);
    if (isToken) index += 2;
  }
  return kept.join('.');
}

type Described = { name: string; code?: string; message: string; cause?: string };

/**
 * Name, code and message of a thrown value. Nothing else: errors of ioredis contain the command with its
 * arguments.
 */
export function describeError(thrown: unknown): Described {
  if (!(thrown instanceof Error)) return { name: 'NonError', message: withoutCredentials(String(thrown)) };
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
  const cause = thrown.cause instanceof Error ? withoutCredentials(thrown.cause.message) : undefined;
  return {
    name: thrown.name,
    ...(code === undefined ? {} : { code }),
    message: withoutCredentials(thrown.message),
    ...(cause === undefined ? {} : { cause }),
  };
}

/**
 * A log for one program.
 * @param options.program the program's name, on every line
 * @param options.level lowest level written
 * @param options.destination where lines go; default standard output
 */
export function createLog(options: {
  program: string;
  level: LogLevel;
  destination?: DestinationStream;
}): Log {
  const sink = pino(
    {
      level: options.level,
      base: { program: options.program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
  return {
    debug: (message, fields) => sink.debug(fields ?? {}, message),
    info: (message, fields) => sink.info(fields ?? {}, message),
    warn: (message, fields) => sink.warn(fields ?? {}, message),
    error: (message, fields) => sink.error(fields ?? {}, message),
    isDebug: () => sink.isLevelEnabled('debug'),
  };
}

/**
 * The log of a long-running program. Its first line, at `info`, has the version and the revision of the
 * program.
 */
export function createProgramLog(program: string, level: LogLevel): Log {
  const log = createLog({ program, level });
  log.info('starting', build);
  return log;
}
