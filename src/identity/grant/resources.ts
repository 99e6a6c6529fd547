import { errors, type Client, type ResourceServer } from 'oidc-provider';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import { adminAudience } from '../../vocabulary/admin-scopes.ts';

/** How access tokens are signed. */
export type AccessTokenSigning =
  | { alg: SigningAlgorithm; kid: string }
  | { alg: 'HS256'; kid: string; key: Buffer };

export type ResourcesOptions = {
  /** Scopes by resource name; the name is the audience of its tokens. */
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  accessTokenLifetimeSeconds: number;
  /** Called for each token. */
  signing(): AccessTokenSigning;
  /** The same for tokens of the administration API. Never a secret that services share. */
  adminSigning(): AccessTokenSigning;
};

/** The client that requests a resource, and its grant type. */
export type ResourceRequester = { client: Client; grantType: unknown };

/** The services that tokens are for (RFC 8707). */
export type Resources = {
  /** The absolute URI of a resource (RFC 8707 §2). Other texts are returned unchanged. */
  identifierOf(name: string): string;
  /** The configured name of a resource. Other texts are returned unchanged. */
  nameOf(identifier: string): string;
  /** @throws InvalidTarget for a resource that is not configured or not allowed for this client */
  serverFor(identifier: string, requester: ResourceRequester): ResourceServer;
  /**
   * The resource of a request that names none: the client's default, else the only one that it may have.
   * @param oneOf the resources to choose from
   * @throws InvalidTarget when the resource is ambiguous
   */
  defaultFor(client: Client, oneOf?: readonly string[]): string;
};

const prefix = 'urn:curfew:resource:';

/**
 * The scopes for the administration API: only for client_credentials, and only those in the client's
 * `admin_scopes`.
 */
function adminScopesOf({ client, grantType }: ResourceRequester): readonly string[] | undefined {
  const scopes = client['admin_scopes'];
  const isClientItself = grantType === 'client_credentials';
  return isClientItself && Array.isArray(scopes) && scopes.length > 0 ? scopes.map(String) : undefined;
}

/** A client with `resources` gets tokens only for those. */
function mayRequest(client: Client, name: string): boolean {
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

  function serverFor(identifier: string, requester: ResourceRequester): ResourceServer {
    const name = byIdentifier.get(identifier) ?? identifier;
    const isAdmin = identifier === adminAudience;
    const scopes = isAdmin ? adminScopesOf(requester) : options.resources[name]?.scopes;
    if (scopes === undefined) throw new errors.InvalidTarget('no such resource');
    if (!isAdmin && !mayRequest(requester.client, name))
      throw new errors.InvalidTarget('not for this client');
    return {
      audience: name,
      scope: scopes.join(' '),
      accessTokenFormat: 'jwt',
      accessTokenTTL: options.accessTokenLifetimeSeconds,
      jwt: { sign: isAdmin ? options.adminSigning() : options.signing() },
    };
  }

  function onlyIdentifierFor(client: Client): string | undefined {
    const [single, ...others] = names.filter((name) => mayRequest(client, name));
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
