/** What the authorizer's configuration says of the requests it decides on. */
export type LintOptions = {
  /** As the authorizer's `upstream.prefix`; in lower case; default `x-auth-`. */
  readonly prefix: string;
  /** The identity headers that the authorizer sets, in lower case: `upstream.headers`. */
  readonly identity: readonly string[];
  /** Headers that a token comes in, in lower case; default `authorization`. */
  readonly credentials: readonly string[];
};

/** As of a configuration that says nothing of it. */
export const defaultLintOptions: LintOptions = {
  prefix: 'x-auth-',
  identity: ['x-auth-subject', 'x-auth-session', 'x-auth-issuer', 'x-auth-scopes'],
  credentials: ['authorization'],
};
