import { errors, type Adapter } from 'oidc-provider';
import { Fault } from '../../runtime/fault.ts';
import { generateFamilyKey } from '../session/refresh-token-id.ts';
import {
  emptyAdapter,
  expiryOf,
  reasonOf,
  withId,
  withoutId,
  type ProviderAdapterOptions,
} from './adapter-parts.ts';
import { hashOf } from '../store/sealing.ts';

/**
 * The initial lifetime of a grant without a browser login; ms. Each token extends it. If the process crashes
 * before the first token, the grant expires after this time, which is longer than a device may take to fetch
 * its token.
 */
const untilFirstTokenMs = 15 * 60 * 1000;

/** Grants: the sessions of an account at a client. Destroying one revokes it. */
export function createGrantAdapter(options: ProviderAdapterOptions): Adapter {
  const { grants, revoker, clock, context, maxSessionsPerAccount } = options;
  return {
    ...emptyAdapter('Grant'),
    upsert: async (id, payload, expiresIn) => {
      const { address, device, grantsRead, credentials, loginUid } = context();
      const { accountId, clientId } = payload;
      const expiresAtMs = expiryOf(clock, expiresIn);
      if (grantsRead.has(id)) {
        if (await grants.update(id, withoutId(payload), expiresAtMs)) return;
        throw new errors.InvalidGrant({ detail: 'the grant no longer exists' });
      }
      const belongsToBrowser = loginUid !== undefined;
      if (accountId === undefined || clientId === undefined || credentials?.accountId !== accountId)
        throw new Fault('ERR_INTERNAL', 'a grant needs a client and an account read in the same request');
      const familyKey = generateFamilyKey();
      const isInserted = await grants.insert({
        id,
        clientId,
        payload: withoutId(payload),
        familyKey,
        device,
        address,
        loginHash: belongsToBrowser ? hashOf('SessionUid', loginUid) : undefined,
        nowMs: clock.nowMs(),
        expiresAtMs: belongsToBrowser
          ? expiresAtMs
          : Math.min(expiresAtMs, clock.nowMs() + untilFirstTokenMs),
        credentials,
      });
      if (!isInserted) throw new errors.InvalidGrant({ detail: 'the account has changed' });
      grantsRead.set(id, familyKey);
      await revoker.revoke({ accountId, beyond: maxSessionsPerAccount }, 'crowded');
    },
    find: async (id) => {
      const grant = await grants.find(id);
      if (grant === undefined) return undefined;
      context().grantsRead.set(id, grant.familyKey);
      // Every refresh extends the column, but not the payload.
      return { ...withId(grant.payload, id), exp: Math.floor(grant.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      await revoker.revoke({ id }, reasonOf(context()));
    },
  };
}
