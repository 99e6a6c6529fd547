import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

/** A passkey as an authenticator keeps it. */
export type HeldPasskey = { id: string; userHandle: string; key: KeyObject; counter: number };

/** What a hostile or broken browser or authenticator may do differently. */
export type Deviation = {
  origin?: string;
  rpId?: string;
  challenge?: string;
  type?: string;
  crossOrigin?: boolean;
  isPresent?: boolean;
  isVerified?: boolean;
  counter?: number;
  userHandle?: string | undefined;
  credentialId?: string;
  attestation?: { fmt: string; attStmt: Cbor };
  /** Added to the JSON. */
  more?: object;
};

export type CreationOptions = { challenge: string; rp: { id?: string }; user: { id: string } };
export type RequestOptions = { challenge: string; rpId?: string };

/** A browser and its authenticator in software: ES256 keys, no attestation (WebAuthn Level 3 §5, §6). */
export function createAuthenticator(origin: string) {
  const held: HeldPasskey[] = [];

  return {
    held,
    /** @returns the JSON of the answer */
    create: (options: CreationOptions, deviation: Deviation = {}): string => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const id = deviation.credentialId ?? randomBytes(16).toString('base64url');
      const counter = deviation.counter ?? 0;
      held.push({ id, userHandle: options.user.id, key: privateKey, counter });
      const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
      const coseKey = new Map<Cbor, Cbor>([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, Buffer.from(x, 'base64url')],
        [-3, Buffer.from(y, 'base64url')],
      ]);
      const idBytes = Buffer.from(id, 'base64url');
      const idLength = Buffer.from([idBytes.length >> 8, idBytes.length & 255]);
      const attested = Buffer.concat([Buffer.alloc(16), idLength, idBytes, encode(coseKey)]);
      const rpId = options.rp.id ?? '';
      const authData = authenticatorData({ rpId, counter, ...deviation }, attested);
      const { fmt, attStmt } = deviation.attestation ?? { fmt: 'none', attStmt: new Map() };
      const attestationObject = encode(
        new Map<Cbor, Cbor>([
          ['fmt', fmt],
          ['attStmt', attStmt],
          ['authData', authData],
        ]),
      );
      return JSON.stringify({
        id,
        rawId: id,
        type: 'public-key',
        clientExtensionResults: {},
        response: {
          clientDataJSON: clientData('webauthn.create', {
            challenge: options.challenge,
            origin,
            ...deviation,
          }),
          attestationObject: attestationObject.toString('base64url'),
          transports: ['internal', 'hybrid'],
          ...deviation.more,
        },
      });
    },
    /** @returns the JSON of the answer */
    get: (options: RequestOptions, passkey = held.at(-1), deviation: Deviation = {}): string => {
      if (passkey === undefined) throw new Error('there is no passkey');
      passkey.counter += 1;
      const rpId = options.rpId ?? '';
      const { counter } = passkey;
      const authData = authenticatorData({ rpId, counter, ...deviation });
      const json = clientData('webauthn.get', { challenge: options.challenge, origin, ...deviation });
      const clientHash = createHash('sha256').update(Buffer.from(json, 'base64url')).digest();
      const signature = sign('sha256', Buffer.concat([authData, clientHash]), passkey.key);
      const id = deviation.credentialId ?? passkey.id;
      return JSON.stringify({
        id,
        rawId: id,
        type: 'public-key',
        clientExtensionResults: {},
        response: {
          clientDataJSON: json,
          authenticatorData: authData.toString('base64url'),
          signature: signature.toString('base64url'),
          userHandle: 'userHandle' in deviation ? deviation.userHandle : passkey.userHandle,
          ...deviation.more,
        },
      });
    },
  };
}

export type Authenticator = ReturnType<typeof createAuthenticator>;

type AuthenticatorState = Pick<Deviation, 'isPresent' | 'isVerified'> & { rpId: string; counter: number };

// §6.1
function authenticatorData(
  { rpId, counter, isPresent = true, isVerified = true }: AuthenticatorState,
  attested?: Buffer,
): Buffer {
  const flags = Number(isPresent) | (Number(isVerified) << 2) | (attested === undefined ? 0 : 1 << 6);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(counter);
  const head = [createHash('sha256').update(rpId).digest(), Buffer.from([flags]), count];
  return Buffer.concat(attested === undefined ? head : [...head, attested]);
}

// §5.8.1
function clientData(
  type: string,
  { type: other, challenge, origin, crossOrigin = false }: Deviation,
): string {
  const data = { type: other ?? type, challenge, origin, crossOrigin };
  return Buffer.from(JSON.stringify(data)).toString('base64url');
}

export type Cbor = number | string | Buffer | readonly Cbor[] | Map<Cbor, Cbor>;

/** As much of RFC 8949 as an authenticator says. */
export function encode(value: Cbor): Buffer {
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return Buffer.concat([head(3, bytes.length), bytes]);
  }
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (value instanceof Map) {
    const pairs = [...value].flatMap(([name, inner]) => [encode(name), encode(inner)]);
    return Buffer.concat([head(5, value.size), ...pairs]);
  }
  return Buffer.concat([head(4, value.length), ...value.map((one) => encode(one))]);
}

function head(major: number, argument: number): Buffer {
  const type = major << 5;
  if (argument < 24) return Buffer.from([type | argument]);
  if (argument < 256) return Buffer.from([type | 24, argument]);
  return Buffer.from([type | 25, argument >> 8, argument & 255]);
}
