import type { IssuerConfig } from '../config/authorizer.ts';
import { jwksOrigin, secretOrigin } from '../token/configured-origin.ts';
import { createIssuerKeys, type IssuerKeysOptions } from '../token/issuer-keys.ts';
import { issuerRules, type IssuerRules } from '../token/issuer-rules.ts';
import type { KeySet } from '../token/key-set.ts';

/** A configured issuer. Its keys are loaded when its key set is started. */
export type ConfiguredIssuer = {
  readonly rules: IssuerRules;
  readonly keySet: KeySet;
  /** Whether the keys come from another server, which may be unreachable at the start. */
  readonly remote: boolean;
};

/**
 * Constructs the configured issuers. Nothing is read before their key sets are started.
 * @throws ERR_CONFIG_INVALID when a JWKS address may not be used
 */
export function trustedIssuers(
  issuers: readonly IssuerConfig[],
  dependencies: Pick<IssuerKeysOptions, 'clock' | 'log' | 'metrics'>,
): ConfiguredIssuer[] {
  return issuers.map((issuer) => {
    const rules = issuerRules({
      ...issuer,
      maxTokenLifetimeMs: issuer.maxTokenLifetime,
      clockToleranceMs: issuer.clockTolerance,
    });
    const { secret, jwks } = issuer;
    const origin = secret === undefined ? jwksOrigin(jwks) : secretOrigin(secret);
    const { issuer: name, algorithms } = rules;
    const keySet = createIssuerKeys({ ...dependencies, issuer: name, algorithms, origin });
    return { rules, keySet, remote: origin.kind === 'remote' };
  });
}
