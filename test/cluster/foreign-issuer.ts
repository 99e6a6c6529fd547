import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';
import { neverPrinted } from '../output.ts';
import { apply, rollout } from './kubectl.ts';
import { namespace, nodeServer } from './workloads.ts';

/** An identity provider that isn't ours: a key, and a web server with its public half. */
export type ForeignIssuer = {
  /** As `issuers` of the chart has it. */
  readonly values: { issuer: string } & Record<string, unknown>;
  /** A token of a session. */
  token(session: string, claims?: JWTPayload): Promise<string>;
};

const server = `
const { createServer } = require('node:http');
createServer((request, response) => response.setHeader('content-type', 'application/json').end(process.env.KEYS)).listen(8080);
process.on('SIGTERM', () => process.exit());`;

export async function startForeignIssuer(): Promise<ForeignIssuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'first', alg: 'ES256', use: 'sig' }];
  await apply(namespace('idp'));
  const env = [{ name: 'KEYS', value: JSON.stringify({ keys }) }];
  await apply(...nodeServer({ name: 'idp', namespace: 'idp', program: server, env }));
  await rollout('idp', 'idp');
  const issuer = 'https://idp.example';
  return {
    values: {
      issuer,
      audiences: ['orders'],
      algorithms: ['ES256'],
      sessionClaim: 'sid',
      jwks: { uri: 'http://idp.idp.svc/jwks', allowHttp: true },
    },
    token: async (session, claims = {}) => {
      const token = await new SignJWT({ sid: session, client_id: 'web', jti: randomUUID(), ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'first', typ: 'at+jwt' })
        .setIssuer(issuer)
        .setSubject('alice')
        .setAudience('orders')
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(privateKey);
      neverPrinted(token);
      return token;
    },
  };
}
