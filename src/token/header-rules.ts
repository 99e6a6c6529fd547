import type { Algorithm } from '../vocabulary/algorithms.ts';
import { isId } from './claims.ts';
import { normalizedType, type IssuerRules } from './issuer-rules.ts';
import { reject, type Origin, type Rejected } from './rejection.ts';
import type { JsonObject } from './strict-json.ts';

export type CheckedHeader = {
  readonly kind: 'good';
  readonly algorithm: Algorithm;
  readonly kid: string | undefined;
  /** Normalized; `none` when absent. */
  readonly type: string;
};

// RFC 8725 §3.10, RFC 7515 §4.1: keys come from the configuration. A header that names or carries a key is
// rejected unread.
const foreignKeyParameters = ['jku', 'jwk', 'x5u', 'x5c'];
// RFC 7797 (b64), RFC 7516 (enc, zip): these change how the signed bytes are read.
const rewritingParameters = ['crit', 'b64', 'zip', 'enc'];

/** Checks a JOSE header by the issuer's rules. Fetches nothing. */
export function checkHeader(header: JsonObject, rules: IssuerRules): CheckedHeader | Rejected {
  const kid = header['kid'];
  if (kid !== undefined && !isId(kid))
    return reject('malformed_token', { claim: 'kid', expected: 'a text of 1 to 256 characters' });
  const origin: Origin = { issuer: rules.issuer, keyId: kid };
  for (const parameter of [...rewritingParameters, ...foreignKeyParameters]) {
    if (parameter in header)
      return reject('malformed_token', { claim: parameter, expected: 'absent', found: 'present' }, origin);
  }
  const nested = header['cty'];
  if (typeof nested === 'string' && normalizedType(nested) === 'jwt')
    return reject('malformed_token', { claim: 'cty', expected: 'no nested JWT', found: nested }, origin);
  const algorithm = rules.algorithms.find((accepted) => accepted === header['alg']);
  // RFC 8725 §3.1: the configuration lists the algorithms, never the header.
  if (algorithm === undefined)
    return reject('algorithm_not_allowed', detail('alg', rules.algorithms, header['alg']), origin);
  const type = typeOf(header['typ']);
  if (type === undefined || !rules.types.includes(type))
    return reject('wrong_type', detail('typ', rules.types, header['typ']), origin);
  return { kind: 'good', algorithm, kid, type };
}

function typeOf(value: unknown): string | undefined {
  if (value === undefined) return 'none';
  if (typeof value !== 'string') return undefined;
  const type = normalizedType(value);
  // `none` stands for an absent `typ`, so a token can't say it.
  return type === 'none' ? undefined : type;
}

const detail = (claim: string, accepted: readonly string[], found: unknown) => ({
  claim,
  expected: accepted.join(' '),
  found: found === undefined ? 'absent' : typeof found === 'string' ? found : `a ${typeof found}`,
});
