import type { InferOutput } from 'valibot';
import type { Problem } from './problems.ts';
import { receiverProblems, type foreignIssuer, type receivers } from './receivers.ts';

type ReceiversConfig = {
  readonly issuer: string;
  readonly foreignIssuers: readonly InferOutput<typeof foreignIssuer>[];
  readonly receivers: InferOutput<typeof receivers>;
};

/** A receiver may neither revoke tokens of identity's own issuer nor use one of identity's own paths. */
export function identityReceiverProblems({
  issuer: own,
  foreignIssuers,
  receivers: all,
}: ReceiversConfig): Problem[] {
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
        ? [
            {
              path: ['receivers', index, 'path'],
              message: 'is reserved for identity’s own pages and endpoints',
            },
          ]
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

/** Identity reserves whole first segments, so that it can add paths below them later. */
function isOwnPath(path: string, mount: string): boolean {
  if (!path.startsWith(`${mount}/`)) return false;
  const [segment = ''] = path
    .slice(mount.length + 1)
    .toLowerCase()
    .split('/');
  return ownSegments.has(segment);
}
