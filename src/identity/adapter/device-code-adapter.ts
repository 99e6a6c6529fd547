import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { emptyAdapter, expiryOf, payloadOf, reasonOf, type ProviderAdapterOptions } from './adapter-parts.ts';
import { payloadOfOneUse, useCode } from './repeated-use.ts';
import { hashOf } from '../store/sealing.ts';
import type { StoredToken } from '../store/stored-tokens.ts';

const kind = 'DeviceCode';

/*
 * A device code is found by two secrets: the device's own code, and the short code that a person enters. The
 * short code could be guessed from its hash, so it decrypts nothing. A lookup by it returns a handle instead
 * of the device's code, and a device can't redeem a handle.
 */
const handlePrefix = '#';

/** Codes of the device flow (RFC 8628). */
export function createDeviceCodeAdapter(options: ProviderAdapterOptions): Adapter {
  const { tokens, revoker, recovery, clock, context } = options;

  const find = async (id: string): Promise<StoredToken | undefined> => {
    if (id.startsWith(handlePrefix))
      return context().route === 'token' ? undefined : await tokens.findDeviceCode(id.slice(1));
    await recovery.recover(kind, id);
    return await tokens.findDeviceCode(hashOf(kind, id));
  };

  return {
    ...emptyAdapter(kind),
    upsert: async (id, { userCode, ...payload }, expiresIn) => {
      const device = {
        idHash: id.startsWith(handlePrefix) ? id.slice(1) : hashOf(kind, id),
        userCodeHash: userCode === undefined ? undefined : hashOf('UserCode', userCode),
        grantId: payload.grantId,
        payload: JSON.stringify({ ...payload, jti: undefined }),
        expiresAtMs: expiryOf(clock, expiresIn),
      };
      if (!(await tokens.putDeviceCode(device, clock.nowMs())))
        throw new errors.InvalidGrant({ detail: 'the grant no longer exists' });
    },
    find: async (id) => await payloadOfOneUse({ kind, id }, await find(id), options),
    findByUserCode: async (userCode) => {
      const found = await tokens.findByUserCode(hashOf('UserCode', userCode));
      if (found === undefined) return undefined;
      const payload = payloadOf(found, `${handlePrefix}${found.idHash}`) as AdapterPayload;
      return { ...payload, userCode };
    },
    consume: async (id) => await useCode({ kind, id }, options),
    destroy: async (id) => {
      const grantId = (await find(id))?.grantId;
      if (grantId === undefined) await tokens.delete(kind, id);
      else await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
    revokeByGrantId: async (grantId) => {
      await revoker.revoke({ id: grantId }, reasonOf(context()));
    },
  };
}
