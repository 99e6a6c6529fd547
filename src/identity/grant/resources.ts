import { errors, type Client, type ResourceServer } from 'oidc-provider';

/** What access tokens are signed with. */
export type AccessTokenSigning =
  | { alg: 'RS256' | 'ES256' | 'EdDSA'; kid: string }
  | { alg: 'HS256'; kid: string; key: Buffer };

export type ResourcesOptions = {
  /** Scopes by resource name; the name is the audience of its tokens. */
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  accessTokenLifetimeSeconds: number;
  /** Asked for each token. */
  signing(): AccessTokenSigning;
};

/** The services tokens are for (RFC 8707). */
export type Resources = {
  /** A resource's absolute URI, as RFC 8707 §2 wants it; other texts as they are. */
  identifierOf(name: string): string;
  /** @throws InvalidTarget for a resource that isn't configured */
  serverFor(identifier: string): ResourceServer;
  /**
   * The resource of a request that names none: the client's own, else the only one there is.
   * @param oneOf those to choose from
   * @throws InvalidTarget when it can't be told
   */
  defaultFor(client: Client, oneOf?: readonly string[]): string;
};

const prefix = 'urn:curfew:resource:';

export function createResources(options: ResourcesOptions): Resources {
  const names = Object.keys(options.resources);
  const identifiers = new Map(
    names.map((name) => [name, URL.canParse(name) ? name : `${prefix}${encodeURIComponent(name)}`]),
  );
  const byIdentifier = new Map([...identifiers].map(([name, identifier]) => [identifier, name]));
  const onlyIdentifier = identifiers.size === 1 ? [...identifiers.values()][0] : undefined;

  const identifierOf = (name: string): string => identifiers.get(name) ?? name;

  function serverFor(identifier: string): ResourceServer {
    const name = byIdentifier.get(identifier);
    const resource = name === undefined ? undefined : options.resources[name];
    if (name === undefined || resource === undefined) throw new errors.InvalidTarget('no such resource');
    return {
      audience: name,
      scope: resource.scopes.join(' '),
      accessTokenFormat: 'jwt',
      accessTokenTTL: options.accessTokenLifetimeSeconds,
      jwt: { sign: options.signing() },
    };
  }

  function defaultFor(client: Client, oneOf?: readonly string[]): string {
    const own = client['default_resource'];
    const preferred = typeof own === 'string' ? identifierOf(own) : onlyIdentifier;
    if (preferred !== undefined && (oneOf === undefined || oneOf.includes(preferred))) return preferred;
    const [single, ...others] = oneOf ?? [];
    if (single !== undefined && others.length === 0) return single;
    throw new errors.InvalidTarget('name a resource');
  }

  return { identifierOf, serverFor, defaultFor };
}
