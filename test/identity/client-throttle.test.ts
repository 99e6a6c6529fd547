import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import { neverPrinted } from '../output.ts';
import { gatewaySecret, startIdentity, type TestIdentity } from './identity-server.ts';

const wrong = 'not-the-secret-of-any-client-of-these-tests';
const formType = 'application/x-www-form-urlencoded';
const burst = 10;

type Guess = {
  target?: string;
  /** Left out of the request where undefined. */
  type?: string | undefined;
  id?: string;
  secret?: string;
  body?: string | Buffer;
  basic?: boolean;
  more?: string[];
};

const plain: Guess = {};

/** Spells each character as a percent-encoded byte where the bit of its position is set. */
const encoded = (id: string, bits: number): string =>
  id.replaceAll(/./g, (character, index: number) =>
    (bits >> index) % 2 === 1 ? `%${character.charCodeAt(0).toString(16)}` : character,
  );

const utf16 = (form: string): Buffer => Buffer.from(form, 'utf16le');

describe('the limit on guesses at a client’s secret', () => {
  let identity: TestIdentity;
  let addresses = 0;

  beforeAll(async () => {
    neverPrinted(wrong);
    identity = await startIdentity(
      { trustedProxyHops: 1 },
      { clock: { ...systemClock, monotonicMs: () => 0 } },
    );
  });
  afterAll(() => identity.stop());

  const nextAddress = (): string => `198.51.100.${(addresses += 1)}`;

  /** Writes the request by hand: fetch normalizes targets and media types. @returns the status */
  async function send(guess: Guess, address: string): Promise<number> {
    const { target = '/token', id = 'gateway', secret = wrong, basic = true, more = [] } = guess;
    const type = 'type' in guess ? guess.type : formType;
    const body = guess.body ?? 'grant_type=client_credentials';
    const pair = Buffer.from(`${id}:${secret}`).toString('base64');
    const head = [
      `POST ${target} HTTP/1.1`,
      'host: localhost',
      'connection: close',
      `x-forwarded-for: ${address}`,
      `content-length: ${Buffer.byteLength(body)}`,
      ...(type === undefined ? [] : [`content-type: ${type}`]),
      ...(basic ? [`authorization: Basic ${pair}`] : []),
      ...more,
    ];
    const socket = connect(Number(new URL(identity.issuer).port), '127.0.0.1');
    socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]));
    return Number(/^HTTP\/1\.1 (?<status>\d+)/.exec(await text(socket))?.groups?.['status']);
  }

  async function sendAll(guesses: readonly Guess[], address: string): Promise<number[]> {
    const statuses: number[] = [];
    for (const guess of guesses) statuses.push(await send(guess, address));
    return statuses;
  }

  const times = (count: number, guess: (index: number) => Guess): Guess[] =>
    Array.from({ length: count }, (_, index) => guess(index));

  /** Whether a status tells a right secret from a wrong one. */
  const isTested = (status: number): boolean => status === 401 || status === 200;

  /** Whether every guess that is read counts, and none is read while others have to wait. */
  async function isLimited(guess: (index: number, secret: string) => Guess): Promise<boolean> {
    const [first, second] = [nextAddress(), nextAddress()];
    const guessed = await sendAll(
      times(burst + 1, (index) => guess(index, wrong)),
      first,
    );
    await sendAll(
      times(burst, () => plain),
      second,
    );
    const last = await send(guess(burst, gatewaySecret), second);
    return guessed.filter(isTested).length <= burst && !isTested(last);
  }

  it.each([
    ['in mixed case', 'application/X-WWW-form-urlencoded'],
    ['in capitals', 'APPLICATION/X-WWW-FORM-URLENCODED'],
    ['with a charset', `${formType}; charset=UTF-8`],
    ['with a space before the parameter', `${formType} ;charset="utf-8"`],
    ['with an unknown parameter', `${formType};q=1`],
    ['with a broken parameter', `${formType}; ;`],
    ['with a tab in front', `\t${formType}`],
    ['of something else', 'text/plain'],
    ['of JSON', 'application/json'],
    ['left out', undefined],
  ])('holds with a media type %s', async (_, type) => {
    expect(await isLimited((_index, secret) => ({ type, secret }))).toBe(true);
  });

  it.each([
    ['in the header', (id: string, secret: string) => ({ id, secret })],
    [
      'in the form',
      (id: string, secret: string) => ({
        basic: false,
        body: `client_id=${id}&client_secret=${secret}&grant_type=client_credentials`,
      }),
    ],
  ])('holds for one client however its id is spelled %s', async (_, guess) => {
    expect(await isLimited((index, secret) => guess(encoded('gateway', index + 1), secret))).toBe(true);
  });

  it.each([
    [
      'behind a question mark',
      (index: number, secret: string) => ({
        body: `?client_id=other-${index}&client_id=gateway&client_secret=${secret}&grant_type=client_credentials`,
      }),
    ],
    [
      'twice',
      (index: number, secret: string) => ({
        body: `client_id=other-${index}&client_id=gateway&client_secret=${secret}&grant_type=client_credentials`,
      }),
    ],
  ])('holds where a form names a second client %s', async (_, guess) => {
    expect(await isLimited((index, secret) => ({ basic: false, ...guess(index, secret) }))).toBe(true);
  });

  it('holds because forms in any charset are read as UTF-8', async () => {
    // Read as UTF-16 the form names the gateway, read as UTF-8 another client each time.
    const guess = (index: number): Guess => ({
      basic: false,
      type: `${formType}; charset=utf-16le`,
      body: Buffer.concat([
        Buffer.from(`aa=&client_id=b${10 + index}&`),
        utf16(`=&client_id=gateway&client_secret=${gatewaySecret}&grant_type=client_credentials`),
      ]),
    });
    expect(await sendAll(times(3, guess), nextAddress())).toEqual([401, 401, 401]);
  });

  it('holds for concurrent guesses', async () => {
    const address = nextAddress();
    const guesses = times(100, () => ({ secret: wrong }));
    const statuses = await Promise.all(guesses.map((guess) => send(guess, address)));
    expect(statuses.filter(isTested).length).toBeLessThanOrEqual(burst);
  });

  it('holds for an empty header with a client in the form', async () => {
    expect(
      await isLimited((_, secret) => ({
        basic: false,
        more: ['authorization:'],
        body: `client_id=gateway&client_secret=${secret}&grant_type=client_credentials`,
      })),
    ).toBe(true);
  });

  it('holds for a client that only its assertion names, and for no other client', async () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const assertedBy = (sub: string): Guess => ({
      basic: false,
      body: new URLSearchParams({
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: `${part({ alg: 'ES256' })}.${part({ iss: sub, sub, aud: 'x' })}.${'A'.repeat(86)}`,
      }).toString(),
    });
    const address = nextAddress();
    await sendAll(
      times(burst, () => assertedBy('gateway')),
      address,
    );
    expect(await send(assertedBy('gateway'), address)).toBe(429);
    expect(await send(plain, address)).toBe(429);
    expect(await send(assertedBy('service'), address)).toBe(401);
  });

  it.each([
    ['a fragment', '/token#x'],
    ['an empty fragment', '/TOKEN/#'],
    ['a backslash', '/token\\#'],
    ['a backslash between', '/token\\introspection#'],
    ['a no-break space', '/token\u00A0'],
    ['a query', '/token?a=b'],
    ['a whole URL', 'http://other.example/token'],
    ['an encoded letter', '/t%6Fken'],
    ['two slashes', '//token'],
    ['a host in front', '//user@host/token?x#'],
  ])('holds with %s in the request target', async (_, target) => {
    const body = target.includes('introspection') ? 'token=none' : 'grant_type=client_credentials';
    expect(await isLimited((_index, secret) => ({ target, secret, body }))).toBe(true);
  });

  it.each(['/token', '/token/introspection', '/token/revocation', '/device/auth', '/auth', '/session/end'])(
    'comes with a limit on the length of a form at %s, whatever its media type',
    async (target) => {
      const address = nextAddress();
      const body = `a=${'b'.repeat(16 * 1024)}`;
      for (const type of [formType, formType.toUpperCase(), `${formType} ; x=y`, 'text/plain', undefined])
        expect(await send({ target, type, body }, address)).toBe(413);
    },
  );
});
