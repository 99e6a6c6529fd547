import type { AdapterFactory, ClientMetadata, FindAccount } from 'oidc-provider';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import type { Authenticate } from '../account/authenticate.ts';
import type { Resources } from '../grant/resources.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { UseRecovery } from '../store/use-recovery.ts';

export type ProviderOptions = {
  issuer: string;
  clients: readonly ClientMetadata[];
  /** The algorithm of ID tokens. The keys contain one with it. */
  idTokenAlgorithm: SigningAlgorithm;
  accessTokenLifetimeSeconds: number;
  refreshTokenLifetimeSeconds: number;
  resources: Resources;
  authenticate: Authenticate;
  findAccount: FindAccount;
  adapter: AdapterFactory;
  context(): RequestContext;
  recovery: Pick<UseRecovery, 'add'>;
};
