import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

/** A certificate and its private key, as PEM. */
export type Certificate = { readonly cert: string; readonly key: string };

/** An authority that lives as long as a test run. */
export type Authority = {
  readonly cert: string;
  /** A certificate for this name; also for 127.0.0.1. */
  issue(name: string): Certificate;
};

/**
 * A new authority with an ECDSA P-256 key (RFC 5280), so that no test needs a program to make certificates.
 */
export function createAuthority(name = 'curfew test authority'): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = distinguishedName(name);
  const cert = certificate({
    issuer,
    subject: issuer,
    key: own.publicKey,
    signer: own.privateKey,
    extensions: [isAuthority],
  });
  return {
    cert,
    issue: (subject) => {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const extensions = [alternativeNames(subject)];
      return {
        cert: certificate({
          issuer,
          subject: distinguishedName(subject),
          key: leaf.publicKey,
          signer: own.privateKey,
          extensions,
        }),
        key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

// X.690: tag, length, content.
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 128
      ? [tag, length]
      : length < 256
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...contents: readonly Buffer[]): Buffer => der(0x30, ...contents);
const objectId = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const octetString = (...contents: readonly Buffer[]): Buffer => der(0x04, ...contents);
const bits = (content: Buffer): Buffer => der(0x03, Buffer.from([0]), content);
const utcTime = (date: Date): Buffer =>
  der(0x17, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));

const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'));
const distinguishedName = (name: string): Buffer =>
  sequence(der(0x31, sequence(objectId('550403'), der(0x0c, Buffer.from(name)))));
/** basicConstraints, critical: an authority. */
const isAuthority = sequence(
  objectId('551d13'),
  der(0x01, Buffer.from([0xff])),
  octetString(sequence(der(0x01, Buffer.from([0xff])))),
);
const alternativeNames = (name: string): Buffer =>
  sequence(
    objectId('551d11'),
    octetString(sequence(der(0x82, Buffer.from(name)), der(0x87, Buffer.from([127, 0, 0, 1])))),
  );

type Parts = { issuer: Buffer; subject: Buffer; key: KeyObject; signer: KeyObject; extensions: Buffer[] };

function certificate({ issuer, subject, key, signer, extensions }: Parts): string {
  const now = Date.now();
  const dayMs = 86_400_000;
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    issuer,
    sequence(utcTime(new Date(now - dayMs)), utcTime(new Date(now + dayMs))),
    subject,
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = bits(sign('sha256', toBeSigned, signer));
  const base64 = sequence(toBeSigned, ecdsaWithSha256, signature).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`;
}
