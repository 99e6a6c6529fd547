import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/*
 * A refresh token names its family and proves that it was issued for it: random.family.mark. So one that is used
 * again is known for what it is long after its row is gone, and a row per rotation needn't be kept for weeks.
 * The secret is the random part; family and mark open nothing.
 */

const randomPartBytes = 32;
const markBytes = 16;

const pattern = /^(?<random>[\w-]{43})\.(?<grantId>[\w-]{16,64})\.(?<mark>[\w-]{22})$/;

export const generateFamilyKey = (): string => randomBytes(32).toString('base64url');

export function generateRefreshTokenId(grantId: string, familyKey: string): string {
  const random = randomBytes(randomPartBytes).toString('base64url');
  return `${random}.${grantId}.${markOf(random, grantId, familyKey).toString('base64url')}`;
}

/** The family a refresh token says it is of; undefined for any other text. */
export const familyOf = (tokenId: string): string | undefined => pattern.exec(tokenId)?.groups?.['grantId'];

/** Whether a text was issued as a refresh token of the family with this key. */
export function isOfFamily(tokenId: string, familyKey: string): boolean {
  const { random, grantId, mark } = pattern.exec(tokenId)?.groups ?? {};
  if (random === undefined || grantId === undefined || mark === undefined) return false;
  return timingSafeEqual(Buffer.from(mark, 'base64url'), markOf(random, grantId, familyKey));
}

const markOf = (random: string, grantId: string, familyKey: string): Buffer =>
  createHmac('sha256', familyKey).update(`${random}.${grantId}`).digest().subarray(0, markBytes);
