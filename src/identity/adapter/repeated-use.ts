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
 * Refresh tokens and codes are used once. A client that did not receive the response sends the same token
 * again. Within `tokens.refreshGrace`, it gets the same refresh token again, as long as that one is unused.
 * After that time, or when the new refresh token has been used, a second request ends the session (RFC 9700
 * §4.14.2, RFC 6749 §4.1.2).
 */

type NewSuccessor = NewToken & { sessionUid: string | undefined };

/** The payload for oidc-provider. A used token looks unused as long as its request may be repeated. */
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
 * Uses a code. If the client gets a refresh token, the use is committed with it; otherwise it is committed
 * now.
 * @throws InvalidGrant when the code was already used. That also ends its session
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
 * Replaces a token with its successor, or returns the existing successor again.
 * @throws InvalidGrant when the session has ended, or ends now because the token was already used
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
  if (refusal === 'gone') throw new errors.InvalidGrant({ detail: 'the grant no longer exists' });
  await repeat(used, options);
}

/**
 * Whether the same caller used the token a moment ago. Two tabs of a browser may refresh at the same time:
 * when the first tab has already used the successor, the second one is refused, but the session goes on.
 */
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
      throw new Fault('ERR_DATABASE_UNAVAILABLE', 'the first use of the token was undone concurrently');
    context().repeated = use.successor;
    onRepeat(kind, use.consumedBy === callerHash(context()) ? 'same' : 'other');
    return;
  }
  const isTolerated = kind === 'RefreshToken' && isJustRotated(use, options);
  if (use?.grantId !== undefined && !isTolerated) await revoker.revoke({ id: use.grantId }, 'reuse');
  throw new errors.InvalidGrant({ detail: `${kind} already used` });
}

/**
 * A code without a refresh token has no successor to return; its request can be repeated, as access tokens
 * are short-lived.
 */
function isRepeatable(
  kind: OneUseKind,
  use: UsedToken | undefined,
  { clock, context, refreshGraceMs }: ProviderAdapterOptions,
): boolean {
  if (use?.consumedAtMs === undefined || clock.nowMs() - use.consumedAtMs >= refreshGraceMs) return false;
  return use.successor !== undefined || (kind !== 'RefreshToken' && !context().mayRefresh);
}

/**
 * Records the device itself. Until its code is used, the grant has the address of the browser that allowed
 * it.
 */
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
