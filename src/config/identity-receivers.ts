import type { InferOutput } from 'valibot';
import type { Problem } from './problems.ts';
import { receiverProblems, type foreignIssuer, type receivers } from './receivers.ts';

type Receiving = {
  readonly issuer: string;
  readonly foreignIssuers: readonly InferOutput<typeof foreignIssuer>[];
  readonly receivers: InferOutput<typeof receivers>;
};

/** Identity's own sessions end with their refresh tokens, by its own ways: no receiver may touch them, nor take its paths. */
export function receivingProblems({ issuer: own, foreignIssuers, receivers: all }: Receiving): Problem[] {
  const mount = URL.parse(own)?.pathname.replace(/\/$/, '') ?? '';
  return [
    ...foreignIssuers.flatMap(({ issuer: name }, index): Problem[] =>
      name === own
        ? [{ path: ['foreignIssuers', index, 'issuer'], message: 'is identity’s own issuer' }]
        : [],
    ),
    ...receiverProblems('foreignIssuers', foreignIssuers, all),
    ...all.flatMap(({ path }, index): Problem[] =>
      isOwnPath(path, mount)
        ? [{ path: ['receivers', index, 'path'], message: 'is taken by identity’s own pages and endpoints' }]
        : [],
    ),
  ];
}

const ownSegments: ReadonlySet<string> = new Set([
  '',
  '.well-known',
  'account',
  'admin',
  'auth',
  'device',
  'interaction',
  'jwks',
  'session',
  'token',
]);

/** Whether identity answers there, or could one day: whole first segments are its own. */
function isOwnPath(path: string, mount: string): boolean {
  if (!path.startsWith(`${mount}/`)) return false;
  const [segment = ''] = path
    .slice(mount.length + 1)
    .toLowerCase()
    .split('/');
  return ownSegments.has(segment);
}
