import { errors, type AdapterPayload } from 'oidc-provider';
import { Fault } from '../../runtime/fault.ts';
import { callerHash } from '../request/request-context.ts';
import { payloadOf, type ProviderAdapterOptions } from './adapter-parts.ts';
import type {
  NewToken,
  OneUseKind,
  OneUseToken,
  StoredToken,
  TokenUse,
  UsedToken,
} from '../store/stored-tokens.ts';

/*
 * Refresh tokens and codes are used once. A client that never got the answer asks again with the same token: for
 * `tokens.refreshGrace` it gets the same refresh token again, as long as nobody used that. Later, or once the refresh
 * token was used, the second request ends the session (RFC 9700 §4.14.2, RFC 6749 §4.1.2).
 */

type NewSuccessor = NewToken & { sessionUid: string | undefined };

/** A stored token as oidc-provider sees it: unused as long as the request that used it may be repeated. */
export async function payloadOfOneUse(
  { kind, id }: OneUseToken,
  token: StoredToken | undefined,
  options: ProviderAdapterOptions,
): Promise<AdapterPayload | undefined> {
  const isUsed = token?.consumedAtMs !== undefined && options.context().route === 'token';
  if (!isUsed) return payloadOf(token, id);
  const use = await options.tokens.findUse({ kind, id });
  return payloadOf(isRepeatable(kind, use, options) ? { ...token, consumedAtMs: undefined } : token, id);
}

/**
 * Uses up a code: with the refresh token it is exchanged for, in one transaction, or now if the client gets none.
 * @throws InvalidGrant when it was used already, and ends its session
 */
export async function useCode(code: OneUseToken, options: ProviderAdapterOptions): Promise<void> {
  const { tokens, context } = options;
  if (context().mayRefresh) {
    context().rotation = code;
    return;
  }
  const use = useBy(options);
  context().uses.push({ token: code, use });
  if (await tokens.consume(code, use)) return await recordDevice(code, options);
  await repeat(code, options);
}

/**
 * Replaces a used token by its successor, or hands out the one it has.
 * @throws InvalidGrant when the family has ended, or ends because the token was used already
 */
export async function rotateOrRepeat(
  used: OneUseToken,
  successor: NewSuccessor,
  options: ProviderAdapterOptions,
): Promise<void> {
  const { tokens, refreshGraceMs } = options;
  const isKept = refreshGraceMs > 0;
  const use = useBy(options);
  options.context().uses.push({ token: used, use, successorId: successor.id });
  const refusal = await tokens.rotate(used, { ...successor, isKept }, use);
  if (refusal === undefined) return await recordDevice(used, options);
  if (refusal === 'gone') throw new errors.InvalidGrant({ detail: 'the grant is gone' });
  await repeat(used, options);
}

/** Two tabs of one browser: once the successor is used, the late one is refused, and the family lives. */
export const isJustRotated = (
  use: Pick<UsedToken, 'consumedAtMs' | 'consumedBy'> | undefined,
  { clock, context, rotationLeewayMs }: ProviderAdapterOptions,
): boolean =>
  use?.consumedAtMs !== undefined &&
  clock.nowMs() - use.consumedAtMs < rotationLeewayMs &&
  use.consumedBy === callerHash(context());

async function repeat({ kind, id }: OneUseToken, options: ProviderAdapterOptions): Promise<void> {
  const { tokens, revoker, clock, context, onRepeat } = options;
  const use = await tokens.findUse({ kind, id });
  if (use?.consumedAtMs !== undefined && isRepeatable(kind, use, options)) {
    const times = { usedAtMs: use.consumedAtMs, nowMs: clock.nowMs() };
    if (!(await tokens.recordRepeat({ kind, id }, times)))
      throw new Fault('ERR_DATABASE_UNAVAILABLE', 'the first use of the token was just taken back');
    context().repeated = use.successor;
    onRepeat(kind, use.consumedBy === callerHash(context()) ? 'same' : 'other');
    return;
  }
  const isForgiven = kind === 'RefreshToken' && isJustRotated(use, options);
  if (use?.grantId !== undefined && !isForgiven) await revoker.revoke({ id: use.grantId }, 'reuse');
  throw new errors.InvalidGrant({ detail: `${kind} already used` });
}

/** A code of a client without refresh tokens has no successor: its access tokens are short-lived. */
function isRepeatable(
  kind: OneUseKind,
  use: UsedToken | undefined,
  { clock, context, refreshGraceMs }: ProviderAdapterOptions,
): boolean {
  if (use?.consumedAtMs === undefined || clock.nowMs() - use.consumedAtMs >= refreshGraceMs) return false;
  return use.successor !== undefined || (kind !== 'RefreshToken' && !context().mayRefresh);
}

/** Until its code is used, a device's grant is known by the browser it was allowed in. */
async function recordDevice(
  { kind, id }: OneUseToken,
  { grants, tokens, context }: ProviderAdapterOptions,
): Promise<void> {
  if (kind !== 'DeviceCode') return;
  const { address, device } = context();
  const grantId = (await tokens.findUse({ kind, id }))?.grantId;
  if (grantId !== undefined) await grants.setDevice(grantId, { address, device });
}

const useBy = ({ clock, context }: ProviderAdapterOptions): TokenUse => ({
  by: callerHash(context()),
  nowMs: clock.nowMs(),
});
