import { hash } from 'node:crypto';
import type { AdapterPayload } from 'oidc-provider';
import type { EpochSeconds } from '../../runtime/clock.ts';
import type { Texts } from '../text/strings.ts';
import type { Credentials } from '../store/account-store.ts';
import type { LostUse } from '../store/stored-tokens.ts';

/** Why the route is there, as far as storage cares: it decides the reason a revocation is recorded under. */
export type RouteKind = 'token' | 'revocation' | 'logout' | 'other';

/** A browser login's session at one client, as oidc-provider keeps it. */
export type ClientAuthorization = NonNullable<AdapterPayload['authorizations']>[string];

/** What one HTTP request knows about itself and collects on its way; made at its start, seen by storage. */
export type RequestContext = {
  /**
   * Taken before anything is read: `iat` of what the request mints. A token minted from a family that is revoked
   * meanwhile is then older than the revocation.
   */
  readonly startedAt: EpochSeconds;
  /** The clocks disagree: nothing may be minted. */
  readonly isClockSynchronised: boolean;
  readonly route: RouteKind;
  /** The client's address and `User-Agent`, bounded. */
  readonly address: string;
  readonly device: string;
  /** In the language of who asks. */
  readonly texts: Texts;
  /** The name the browser was given for its logins; undefined for one that has none. */
  readonly browser: string | undefined;
  /** Gives the browser a name, or leaves it the one it has, and tells it. */
  nameBrowser(): string;
  /** Family keys of the grants read so far. One of these is updated when saved: inserted again it could undo a revocation. */
  readonly grantsRead: Map<string, string>;
  /** Browser sessions read so far, uid by id; the same holds for them. */
  readonly sessionsRead: Map<string, string>;
  /** What the browser's login knew of a client before a device was allowed in it: the device's session isn't its own. */
  beforeDevice: { clientId: string; authorization: ClientAuthorization | undefined } | undefined;
  /** The browser login that new grants of this request belong to. */
  loginUid: string | undefined;
  /** The credentials the account had when it was read; a new grant needs them unchanged. */
  credentials: Credentials | undefined;
  /** The account of the browser's login is out: the login ends with this request. */
  isLoginRefused: boolean;
  /** Tokens that the request uses up. Where the database goes away before the answer, they are taken back. */
  readonly uses: LostUse[];
  /** The database went away under the request: the answer is 503, whatever became of it. */
  isDatabaseLost: boolean;
  /** Whether the client that authenticated gets refresh tokens. */
  readonly mayRefresh: boolean;
  /** A refresh token or code that is used, to be committed together with its successor. */
  rotation: { kind: 'RefreshToken' | 'AuthorizationCode' | 'DeviceCode'; id: string } | undefined;
  /** The refresh token that an earlier request with the same token got: this one gets it, too. */
  repeated: string | undefined;
};

const maxDeviceLength = 256;

// A User-Agent ends up in pages and tables: printable characters only.
const unprintable = /[^\x20-\x7e]/g;

export const deviceLabel = (userAgent: string | undefined): string =>
  (userAgent ?? '').slice(0, maxDeviceLength).replaceAll(unprintable, '?');

/** Who used a token, without saying who: two tabs of one browser give the same. */
export const callerHash = ({ address, device }: Pick<RequestContext, 'address' | 'device'>): string =>
  hash('sha256', `${address} ${device}`, 'hex');
