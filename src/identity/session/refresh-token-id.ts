import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/*
 * A refresh token is `random.grant.mark`: it names its grant, and the mark (an HMAC) shows that it was issued
 * for it. So the reuse of a refresh token is detected long after its row was deleted. Only the random part is
 * secret.
 */

const randomPartBytes = 32;
const markBytes = 16;

const pattern = /^(?<random>[\w-]{43})\.(?<grantId>[\w-]{16,64})\.(?<mark>[\w-]{22})$/;

export const generateFamilyKey = (): string => randomBytes(32).toString('base64url');

export function generateRefreshTokenId(grantId: string, familyKey: string): string {
  const random = randomBytes(randomPartBytes).toString('base64url');
  return `${random}.${grantId}.${markOf(random, grantId, familyKey).toString('base64url')}`;
}

/** The grant that a refresh token names; undefined if the text is not a refresh token. Not verified. */
export const familyOf = (tokenId: string): string | undefined => pattern.exec(tokenId)?.groups?.['grantId'];

/** Whether a text was issued as a refresh token of the grant with this key. */
export function isOfFamily(tokenId: string, familyKey: string): boolean {
  const { random, grantId, mark } = pattern.exec(tokenId)?.groups ?? {};
  if (random === undefined || grantId === undefined || mark === undefined) return false;
  return timingSafeEqual(Buffer.from(mark, 'base64url'), markOf(random, grantId, familyKey));
}

const markOf = (random: string, grantId: string, familyKey: string): Buffer =>
  createHmac('sha256', familyKey).update(`${random}.${grantId}`).digest().subarray(0, markBytes);
