import { hash } from 'node:crypto';
import type { AdapterPayload } from 'oidc-provider';
import type { EpochSeconds } from '../../runtime/clock.ts';
import type { Texts } from '../text/strings.ts';
import type { Credentials } from '../store/account-store.ts';
import type { LostUse } from '../store/stored-tokens.ts';

/** The endpoint of a request, as far as storage needs it: it decides the reason of revocations. */
export type RouteKind = 'token' | 'revocation' | 'logout' | 'other';

/** The session of a browser login at one client, as oidc-provider stores it. */
export type ClientAuthorization = NonNullable<AdapterPayload['authorizations']>[string];

/**
 * What storage needs to know about the current HTTP request, and state that is shared while it is processed.
 */
export type RequestContext = {
  /**
   * `iat` of the tokens that the request issues. Read before anything else: if the session is revoked
   * meanwhile, the tokens are then older than the revocation.
   */
  readonly startedAt: EpochSeconds;
  /** Whether this machine's clock agrees with the database's. If not, no token may be issued. */
  readonly isClockSynchronised: boolean;
  readonly route: RouteKind;
  /** The client's address. */
  readonly address: string;
  /** The client's `User-Agent`, shortened. */
  readonly device: string;
  /** The texts of pages, in the language of the request. */
  readonly texts: Texts;
  /** The value of the browser cookie; undefined if the browser sent no such cookie. */
  readonly browser: string | undefined;
  /** Sets or extends the browser cookie. @returns its value */
  nameBrowser(): string;
  /**
   * Family keys of the grants that the request has read. Saving one of these updates it: inserting it again
   * could undo a revocation.
   */
  readonly grantsRead: Map<string, string>;
  /** The browser sessions that the request has read, `uid` by id. They are updated for the same reason. */
  readonly sessionsRead: Map<string, string>;
  /** The browser's own session at a client, before a device was allowed at the same client. */
  beforeDevice: { clientId: string; authorization: ClientAuthorization | undefined } | undefined;
  /** The `uid` of the browser login that new grants of this request belong to. */
  loginUid: string | undefined;
  /** The account's credentials when the request read it. A new grant is stored only if they are unchanged. */
  credentials: Credentials | undefined;
  /**
   * The account of the browser login is disabled or has new credentials: the login ends with this request.
   */
  isLoginRefused: boolean;
  /**
   * The tokens that the request uses. If the database becomes unavailable before the response, the uses are
   * undone.
   */
  readonly uses: LostUse[];
  /** The database became unavailable during the request. The response is then 503 in any case. */
  isDatabaseLost: boolean;
  /** Whether the authenticated client gets refresh tokens. */
  readonly mayRefresh: boolean;
  /** The refresh token or code that the request uses; the use is committed together with the successor. */
  rotation: { kind: 'RefreshToken' | 'AuthorizationCode' | 'DeviceCode'; id: string } | undefined;
  /** The refresh token that an earlier request got for the same token; this request returns it again. */
  repeated: string | undefined;
};

const maxDeviceLength = 256;

// A `User-Agent` is shown on pages and in tables, so it keeps only printable characters.
const unprintable = /[^\x20-\x7e]/g;

export const deviceLabel = (userAgent: string | undefined): string =>
  (userAgent ?? '').slice(0, maxDeviceLength).replaceAll(unprintable, '?');

/**
 * Identifies the caller that used a token, as a hash of address and `User-Agent`. Tabs of one browser have
 * the same.
 */
export const callerHash = ({ address, device }: Pick<RequestContext, 'address' | 'device'>): string =>
  hash('sha256', `${address} ${device}`, 'hex');
