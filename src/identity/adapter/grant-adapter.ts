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
 * A grant without a browser's login lives as long as its tokens. One whose first token never came, since the process
 * died before that, is nobody's: longer than a device may take to fetch its own, and then it goes. ms.
 */
const untilFirstTokenMs = 15 * 60 * 1000;

/** Grants: sessions of one account at one client. Destroying one is a revocation. */
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
        throw new errors.InvalidGrant({ detail: 'the grant is gone' });
      }
      const isOfBrowser = loginUid !== undefined;
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
        loginHash: isOfBrowser ? hashOf('SessionUid', loginUid) : undefined,
        nowMs: clock.nowMs(),
        expiresAtMs: isOfBrowser ? expiresAtMs : Math.min(expiresAtMs, clock.nowMs() + untilFirstTokenMs),
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
      // The column moves with every refresh, the payload does not.
      return { ...withId(grant.payload, id), exp: Math.floor(grant.expiresAtMs / 1000) };
    },
    destroy: async (id) => {
      await revoker.revoke({ id }, reasonOf(context()));
    },
  };
}
