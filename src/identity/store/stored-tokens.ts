/**
 * What a stored token is. Its row is found by the token's hash, and the payload is decrypted with the token
 * itself.
 */
export type TokenKind =
  | 'RefreshToken'
  | 'AuthorizationCode'
  | 'Interaction'
  | 'ReplayDetection'
  | 'DeviceCode'
  | 'PasskeyChallenge';

/** Tokens that are exchanged once, for a refresh token or for an access token alone. */
export type OneUseKind = 'RefreshToken' | 'AuthorizationCode' | 'DeviceCode';

export type OneUseToken = { kind: OneUseKind; id: string };

export type NewToken = {
  kind: TokenKind;
  id: string;
  grantId: string | undefined;
  payload: string;
  expiresAtMs: number;
};

export type StoredToken = {
  payload: string;
  grantId: string | undefined;
  consumedAtMs: number | undefined;
  consumedBy: string | undefined;
  expiresAtMs: number;
};

/** How a token was used. */
export type UsedToken = Pick<StoredToken, 'grantId' | 'consumedAtMs' | 'consumedBy'> & {
  /** The refresh token that replaced it, as long as that one is unused. */
  successor: string | undefined;
};

export type Successor = NewToken & {
  sessionUid: string | undefined;
  /** Whether `findUse` returns it. */
  isKept: boolean;
};

/** Why a rotation was refused: the grant no longer exists, or the token was already used. */
export type RotationRefusal = 'gone' | 'used';

/** Who uses a token (as a hash), and when. */
export type TokenUse = {
  by: string;
  nowMs: number;
  /** Set by the store when it marks the token. The transaction may still fail to commit. */
  isMarked?: boolean;
};

/** A use whose request failed before the client received the token's successor. */
export type LostUse = {
  token: OneUseToken;
  use: TokenUse;
  /** The refresh token that was to replace it. */
  successorId?: string;
};

export type NewDeviceCode = {
  idHash: string;
  userCodeHash: string | undefined;
  grantId: string | undefined;
  payload: string;
  expiresAtMs: number;
};
