import { errors, type Client, type ResourceServer } from 'oidc-provider';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import { adminAudience } from '../../vocabulary/admin-scopes.ts';

/** What access tokens are signed with. */
export type AccessTokenSigning =
  | { alg: SigningAlgorithm; kid: string }
  | { alg: 'HS256'; kid: string; key: Buffer };

export type ResourcesOptions = {
  /** Scopes by resource name; the name is the audience of its tokens. */
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  accessTokenLifetimeSeconds: number;
  /** Asked for each token. */
  signing(): AccessTokenSigning;
  /** The same for the administration API; never a secret that services have, too. */
  adminSigning(): AccessTokenSigning;
};

/** Who asks for a resource, and by which grant type. */
export type AskedBy = { client: Client; grantType: unknown };

/** The services tokens are for (RFC 8707). */
export type Resources = {
  /** A resource's absolute URI, as RFC 8707 §2 wants it; other texts as they are. */
  identifierOf(name: string): string;
  /** The name a resource is configured under; other texts as they are. */
  nameOf(identifier: string): string;
  /** @throws InvalidTarget for a resource that isn't configured, or isn't for this client */
  serverFor(identifier: string, asked: AskedBy): ResourceServer;
  /**
   * The resource of a request that names none: the client's own, else the only one it may have.
   * @param oneOf those to choose from
   * @throws InvalidTarget when it can't be told
   */
  defaultFor(client: Client, oneOf?: readonly string[]): string;
};

const prefix = 'urn:curfew:resource:';

/** The administration API: only for a client's own tokens, and only with the scopes it is configured with. */
function adminScopesOf({ client, grantType }: AskedBy): readonly string[] | undefined {
  const scopes = client['admin_scopes'];
  const isOwn = grantType === 'client_credentials';
  return isOwn && Array.isArray(scopes) && scopes.length > 0 ? scopes.map(String) : undefined;
}

/** A client that lists resources gets tokens for those alone. */
function mayHave(client: Client, name: string): boolean {
  const listed = client['resources'];
  return !Array.isArray(listed) || listed.includes(name);
}

export function createResources(options: ResourcesOptions): Resources {
  const names = Object.keys(options.resources);
  const identifiers = new Map(
    names.map((name) => [name, URL.canParse(name) ? name : `${prefix}${encodeURIComponent(name)}`]),
  );
  const byIdentifier = new Map([...identifiers].map(([name, identifier]) => [identifier, name]));

  const identifierOf = (name: string): string => identifiers.get(name) ?? name;

  function serverFor(identifier: string, asked: AskedBy): ResourceServer {
    const name = byIdentifier.get(identifier) ?? identifier;
    const isAdmin = identifier === adminAudience;
    const scopes = isAdmin ? adminScopesOf(asked) : options.resources[name]?.scopes;
    if (scopes === undefined) throw new errors.InvalidTarget('no such resource');
    if (!isAdmin && !mayHave(asked.client, name)) throw new errors.InvalidTarget('not for this client');
    return {
      audience: name,
      scope: scopes.join(' '),
      accessTokenFormat: 'jwt',
      accessTokenTTL: options.accessTokenLifetimeSeconds,
      jwt: { sign: isAdmin ? options.adminSigning() : options.signing() },
    };
  }

  function onlyIdentifierFor(client: Client): string | undefined {
    const [single, ...others] = names.filter((name) => mayHave(client, name));
    return single === undefined || others.length > 0 ? undefined : identifierOf(single);
  }

  function defaultFor(client: Client, oneOf?: readonly string[]): string {
    const own = client['default_resource'];
    const preferred = typeof own === 'string' ? identifierOf(own) : onlyIdentifierFor(client);
    if (preferred !== undefined && (oneOf === undefined || oneOf.includes(preferred))) return preferred;
    const [single, ...others] = oneOf ?? [];
    if (single !== undefined && others.length === 0) return single;
    throw new errors.InvalidTarget('name a resource');
  }

  const nameOf = (identifier: string): string => byIdentifier.get(identifier) ?? identifier;

  return { identifierOf, nameOf, serverFor, defaultFor };
}
