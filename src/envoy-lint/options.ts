/** The headers that matter to the authorizer, from its configuration. */
export type LintOptions = {
  /** As the authorizer's `upstream.prefix`; in lower case; default `x-auth-`. */
  readonly prefix: string;
  /** The identity headers that the authorizer sets, in lower case: `upstream.headers`. */
  readonly identity: readonly string[];
  /** The headers that may contain a token, in lower case; default `authorization`. */
  readonly credentials: readonly string[];
};

/** The options of a configuration without settings for them. */
export const defaultLintOptions: LintOptions = {
  prefix: 'x-auth-',
  identity: ['x-auth-subject', 'x-auth-session', 'x-auth-issuer', 'x-auth-scopes'],
  credentials: ['authorization'],
};
