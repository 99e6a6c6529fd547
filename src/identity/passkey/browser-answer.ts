import * as v from 'valibot';

/*
 * The browser's response: `PublicKeyCredential.toJSON()` (WebAuthn Level 3 §5.1). Members that are not used
 * are ignored.
 */

const base64url = (maxBytes: number) =>
  v.pipe(v.string(), v.maxLength(Math.ceil((maxBytes * 4) / 3)), v.regex(/^[\w-]+$/));

// §4: an authenticator's id has at most 1023 bytes; §5.4.3: a user handle at most 64.
const credentialId = base64url(1023);
const clientData = base64url(2048);

const assertion = v.object({
  id: credentialId,
  rawId: credentialId,
  type: v.literal('public-key'),
  response: v.object({
    clientDataJSON: clientData,
    authenticatorData: base64url(2048),
    signature: base64url(1024),
    userHandle: base64url(64),
  }),
});

const attestation = v.object({
  id: credentialId,
  rawId: credentialId,
  type: v.literal('public-key'),
  response: v.object({
    clientDataJSON: clientData,
    attestationObject: base64url(4096),
    transports: v.optional(
      v.pipe(v.array(v.pipe(v.string(), v.regex(/^[a-z-]{1,32}$/))), v.maxLength(8)),
      [],
    ),
  }),
});

const collectedClientData = v.object({
  challenge: v.pipe(v.string(), v.maxLength(128)),
  crossOrigin: v.optional(v.literal(false)),
});

export type Assertion = v.InferOutput<typeof assertion>;
export type Attestation = v.InferOutput<typeof attestation>;

/** A browser's response and the challenge that it contains. Neither is verified. */
export type BrowserAnswer<Credential> = { credential: Credential; challenge: string };

/**
 * Parses the response of a login.
 * @returns undefined if it is invalid or comes from a page in another site's frame
 */
export const readAssertion = (text: string): BrowserAnswer<Assertion> | undefined => read(assertion, text);

/** Parses the response of a registration, in the same way. */
export const readAttestation = (text: string): BrowserAnswer<Attestation> | undefined =>
  read(attestation, text);

type Shape<Credential> = v.GenericSchema<unknown, Credential>;

function read<Credential extends { response: { clientDataJSON: string } }>(
  schema: Shape<Credential>,
  text: string,
): BrowserAnswer<Credential> | undefined {
  const credential = v.safeParse(schema, parse(text));
  if (!credential.success) return undefined;
  const bytes = Buffer.from(credential.output.response.clientDataJSON, 'base64url');
  const client = v.safeParse(collectedClientData, parse(bytes.toString('utf8')));
  return client.success ? { credential: credential.output, challenge: client.output.challenge } : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
