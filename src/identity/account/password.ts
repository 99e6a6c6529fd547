import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const argon2Async = promisify(argon2);

/** The cost of an argon2id hash: memory in KiB, passes, lanes. */
export type PasswordCost = { memory: number; passes: number; parallelism: number };

/** OWASP's recommendation for argon2id (compare RFC 9106 §4); about 25 ms. */
export const defaultPasswordCost: PasswordCost = { memory: 19_456, passes: 2, parallelism: 1 };

const minPasswordLength = 8;
const maxPasswordBytes = 1024;
const saltBytes = 16;
const tagBytes = 32;

/**
 * Why a password is not acceptable; undefined if it is. Checks only the length (NIST SP 800-63B §3.1.1.2).
 */
export function passwordProblem(password: string): string | undefined {
  if (password.length < minPasswordLength) return `must be at least ${minPasswordLength} characters`;
  if (Buffer.byteLength(password) > maxPasswordBytes) return `must be at most ${maxPasswordBytes} bytes`;
  return undefined;
}

// PHC string format: $argon2id$v=19$m=…,t=…,p=…$salt$tag, base64 without padding.
const phc =
  /^\$argon2id\$v=19\$m=(?<m>\d{1,7}),t=(?<t>\d{1,3}),p=(?<p>\d{1,2})\$(?<salt>[\w+/]{11,86})\$(?<tag>[\w+/]{22,86})$/;

type ParsedHash = { cost: PasswordCost; salt: Buffer; tag: Buffer };

function parse(text: string): ParsedHash | undefined {
  const groups = phc.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const { m, t, p, salt = '', tag = '' } = groups;
  const cost = { memory: Number(m), passes: Number(t), parallelism: Number(p) };
  return { cost, salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') };
}

/** Derives a hash. Cost: as given, on the thread pool. */
export type Derive = (password: string, salt: Buffer, cost: PasswordCost, length: number) => Promise<Buffer>;

export const argon2id: Derive = (password, salt, cost, length) =>
  argon2Async('argon2id', {
    // Keyboards may encode the same letter differently.
    message: Buffer.from(password.normalize('NFKC')),
    nonce: salt,
    ...cost,
    tagLength: length,
  });

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');

/** The prefix of all stored hashes of a cost. */
export const hashPrefix = ({ memory, passes, parallelism }: PasswordCost): string =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$`;

/** The cost of a stored hash; undefined for a text that is not a hash. */
export const costOf = (stored: string): PasswordCost | undefined => parse(stored)?.cost;

/** Hashes a new password. Cost: as configured, on the thread pool. */
export async function hashPassword(
  password: string,
  cost = defaultPasswordCost,
  derive = argon2id,
): Promise<string> {
  const salt = randomBytes(saltBytes);
  const tag = await derive(password, salt, cost, tagBytes);
  return `${hashPrefix(cost)}${unpadded(salt)}$${unpadded(tag)}`;
}

export type PasswordCheck = {
  isMatch: boolean;
  /** Whether the hash has another cost than the current one and has to be replaced. */
  isOutdated: boolean;
};

/** Compares a password with a stored hash in constant time. */
export async function checkPassword(
  password: string,
  stored: string,
  cost = defaultPasswordCost,
  derive = argon2id,
): Promise<PasswordCheck> {
  const parsed = parse(stored);
  if (parsed === undefined || Buffer.byteLength(password) > maxPasswordBytes)
    return { isMatch: false, isOutdated: false };
  const tag = await derive(password, parsed.salt, parsed.cost, parsed.tag.length);
  const { memory, passes, parallelism } = parsed.cost;
  return {
    isMatch: timingSafeEqual(tag, parsed.tag),
    isOutdated: memory !== cost.memory || passes !== cost.passes || parallelism !== cost.parallelism,
  };
}
