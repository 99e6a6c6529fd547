import { isLoopback, type Address } from '../runtime/address.ts';
import type { TlsFiles } from './tls-listener.ts';

/** `native` is our own HTTP/2; `grpc-js` is @grpc/grpc-js on `node:http2`. */
export type EngineName = 'native' | 'grpc-js';

/**
 * Resolves `auto`. The native engine serves clients that are known: processes of this machine, and clients
 * whose certificate was verified before the first frame is read. A port that anyone can reach gets grpc-js,
 * which is used, and attacked, everywhere.
 */
export function chooseEngine({
  engine = 'auto',
  address,
  tls,
}: {
  readonly engine?: EngineName | 'auto';
  readonly address: Address;
  readonly tls: TlsFiles | undefined;
}): EngineName {
  if (engine !== 'auto') return engine;
  const isLocal = address.kind === 'unix' || isLoopback(address.host);
  return (isLocal && tls === undefined) || tls?.clientCa !== undefined ? 'native' : 'grpc-js';
}
