import type { IssuerConfig } from '../config/authorizer.ts';
import { secretFromFile } from '../runtime/secret.ts';
import { createIssuerKeys, type IssuerKeysOptions, type KeyOrigin } from '../token/issuer-keys.ts';
import { issuerRules, type IssuerRules } from '../token/issuer-rules.ts';
import { jwksOrigin } from '../token/jwks-settings.ts';
import type { KeySet } from '../token/key-set.ts';

/** An issuer as configured, its keys not yet loaded. */
export type ConfiguredIssuer = {
  readonly rules: IssuerRules;
  readonly keySet: KeySet;
  /** The keys come from another server, which may be away at start. */
  readonly remote: boolean;
};

/**
 * The issuers of a configuration; nothing is read before their key sets are started.
 * @throws ERR_CONFIG_INVALID when an address may not be used
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
    const origin = keyOrigin(issuer);
    const { issuer: name, algorithms } = rules;
    const keySet = createIssuerKeys({ ...dependencies, issuer: name, algorithms, origin });
    return { rules, keySet, remote: origin.kind === 'remote' };
  });
}

function keyOrigin({ secret, jwks }: IssuerConfig): KeyOrigin {
  if (secret !== undefined) {
    const { file, encoding, kid } = secret;
    return { kind: 'secret', secret: secretFromFile(file), encoding, name: kid };
  }
  return jwksOrigin(jwks);
}
