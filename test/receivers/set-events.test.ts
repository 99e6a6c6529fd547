import { describe, expect, it } from 'vitest';
import { createSetPush, type SetPushOptions } from '../../src/receivers/set-push.ts';
import { testIssuer, testKey, testNow } from '../token/tokens.ts';
import { evaluate, keySetOf, relayAudience, securityEventToken, sessionRevoked } from './senders.ts';

const key = testKey();

const receiver = (options: Partial<SetPushOptions> = {}) =>
  createSetPush({
    path: '/events',
    issuer: testIssuer,
    sender: testIssuer,
    audiences: [relayAudience],
    algorithms: ['RS256'],
    keySet: keySetOf(key),
    maxAgeMs: 86_400_000,
    clockToleranceMs: 5000,
    credentialChange: true,
    trustSessionIds: false,
    ...options,
  });

type Claims = Readonly<Record<string, unknown>>;

const evaluated = async (claims: Claims, options: Partial<SetPushOptions> = {}, now = testNow) =>
  await evaluate(receiver(options), securityEventToken({ now, claims }));

const revoked = async (claims: Claims, options: Partial<SetPushOptions> = {}, now = testNow) => {
  const result = await evaluated(claims, options, now);
  if (result.kind !== 'accepted') throw new Error(JSON.stringify(result));
  return result.requests.map(({ kind, id }) => `${kind} ${id}`);
};

const refusedFor = async (claims: Claims, options: Partial<SetPushOptions> = {}) => {
  const result = await evaluated(claims, options);
  if (result.kind !== 'refused') throw new Error(JSON.stringify(result));
  return [result.reason, result.detail?.claim, result.detail?.found];
};

const risc = (name: string) => `https://schemas.openid.net/secevent/risc/event-type/${name}`;
const caep = (name: string) => `https://schemas.openid.net/secevent/caep/event-type/${name}`;

const grace = { format: 'iss_sub', iss: testIssuer, sub: 'grace' };
const mail = { format: 'email', email: 'grace@navy.test' };
const desk = { format: 'opaque', id: 'desk-7' };
const disabled = (sub_id: unknown) => ({ sub_id, events: { [risc('account-disabled')]: {} } });
const ended = (sub_id: unknown) => ({ sub_id, events: { [sessionRevoked]: {} } });

describe('a security event about a user with several names', () => {
  const names = {
    format: 'aliases',
    identifiers: [mail, grace, { format: 'phone_number', phone_number: '+1' }],
  };

  it('revokes the user by the name that tokens hold, also inside a complex subject', async () => {
    expect(await revoked(disabled(names))).toEqual(['subject grace']);
    expect(await revoked(disabled({ format: 'complex', user: names }))).toEqual(['subject grace']);
    expect(await revoked(ended({ format: 'complex', user: names, session: desk }))).toEqual([
      'session desk-7',
      'subject grace',
    ]);
  });

  it('revokes by each name that can be read, and each once', async () => {
    const opaque = { format: 'opaque', id: 'g-1' };
    const user = { format: 'aliases', identifiers: [grace, opaque, mail, grace] };
    expect(await revoked(disabled({ format: 'complex', user }))).toEqual(['subject grace', 'subject g-1']);
  });

  it('reads a session that has several names too', async () => {
    const session = {
      format: 'aliases',
      identifiers: [{ format: 'ip-addresses', 'ip-addresses': [] }, desk],
    };
    expect(await revoked(ended({ format: 'complex', session, user: grace }))).toEqual([
      'session desk-7',
      'subject grace',
    ]);
  });

  it('is refused when no name can be read', async () => {
    const user = { format: 'aliases', identifiers: [mail, { ...grace, iss: 'https://other.test' }] };
    expect(await refusedFor(disabled({ format: 'complex', user }))).toEqual([
      'unknown_subject',
      'sub_id.user',
      'aliases',
    ]);
    expect(await refusedFor(disabled(user))).toEqual(['unknown_subject', 'sub_id', 'aliases']);
  });
});

describe('a security event about a session of a user', () => {
  it.each([
    ['an e-mail address', mail, 'email'],
    ['a subject of another issuer', { ...grace, iss: 'https://other.test' }, 'iss_sub of https://other.test'],
    ['a value that is no identifier', 'grace', 'a string'],
    ['an identifier in an identifier', { format: 'complex', user: grace }, 'complex of user'],
  ])('is refused when the session id is not trusted and the user is %s', async (_, user, found) => {
    const claims = ended({ format: 'complex', user, session: desk });
    expect(await refusedFor(claims)).toEqual(['unknown_subject', 'sub_id.user', found]);
    expect(await revoked(claims, { trustSessionIds: true })).toEqual(['session desk-7']);
  });

  it('is refused when neither can be read, and names the session where there is no user', async () => {
    const device = { format: 'opaque', id: 'd' };
    expect(await refusedFor(ended({ format: 'complex', session: mail, device }))).toEqual([
      'unknown_subject',
      'sub_id.session',
      'email',
    ]);
    expect(await refusedFor(ended({ format: 'complex', device }))).toEqual([
      'unknown_subject',
      'sub_id',
      'complex of device',
    ]);
  });

  it.each([true, false])(
    'takes the session id ALL for the user, trusted or not: %s',
    async (trustSessionIds) => {
      const all = { format: 'opaque', id: 'ALL' };
      const options = { trustSessionIds };
      expect(await revoked(ended({ format: 'complex', user: grace, session: all }), options)).toEqual([
        'subject grace',
      ]);
      expect(await refusedFor(ended({ format: 'complex', user: mail, session: all }), options)).toEqual([
        'unknown_subject',
        'sub_id.user',
        'email',
      ]);
      expect(await refusedFor(ended({ format: 'complex', session: all }), options)).toEqual([
        'unknown_subject',
        'sub_id.user',
        'absent',
      ]);
      expect(await refusedFor(ended(all), options)).toEqual(['unknown_subject', 'sub_id', 'opaque']);
    },
  );
});

describe('the subject of a security event', () => {
  const within = (subject: unknown, more: Claims = {}) => ({
    ...more,
    events: { [risc('account-disabled')]: { subject } },
  });

  it('may be in the event and in sub_id, and the readable one counts', async () => {
    expect(await revoked(within(mail, { sub_id: grace }))).toEqual(['subject grace']);
    expect(await revoked(within({}, { sub_id: grace }))).toEqual(['subject grace']);
    expect(await revoked(within(grace, { sub_id: mail }))).toEqual(['subject grace']);
    expect(await refusedFor(within(mail, { sub_id: mail }))).toEqual(['unknown_subject', 'subject', 'email']);
  });

  it('may have its format under the name of a draft', async () => {
    const drafted = (subject_type: string) => ({ subject_type, iss: testIssuer, sub: 'grace' });
    for (const type of ['iss-sub', 'iss_sub', 'id_token_claims'])
      expect(await revoked(within(drafted(type), { sub_id: undefined }))).toEqual(['subject grace']);
    expect(await revoked(within({ user: drafted('iss-sub') }, { sub_id: undefined }))).toEqual([
      'subject grace',
    ]);
    const token = { format: 'jwt-id', iss: testIssuer, jti: 't-9' };
    expect(await revoked(ended(token))).toEqual(['token t-9']);
  });

  it('need not be readable if the event is ignored', async () => {
    const enabled = { sub_id: mail, events: { [risc('account-enabled')]: {} } };
    expect(await evaluated(enabled)).toMatchObject({ kind: 'ignored' });
  });
});

describe('the cut-off of a security event', () => {
  const cutOff = async (uri: string, payload: Claims, claims: Claims = {}, now = testNow) => {
    const result = await evaluated({ sub_id: grace, ...claims, events: { [uri]: payload } }, {}, now);
    return result.kind === 'accepted' ? result.requests[0]?.at : result;
  };

  it.each([
    risc('credential-compromise'),
    risc('account-disabled'),
    risc('account-purged'),
    caep('credential-change'),
  ])('covers the tokens issued up to the notice for %s, however old the event is', async (uri) => {
    expect(await cutOff(uri, { event_timestamp: testNow - 7200 })).toBe(testNow);
    expect(await cutOff(uri, {}, { toe: testNow - 7200 })).toBe(testNow);
    expect(await cutOff(uri, { event_timestamp: 0 })).toBe(testNow);
    expect(await cutOff(uri, { event_timestamp: testNow - 60 }, {}, testNow - 100)).toBe(testNow - 60);
  });

  it.each([sessionRevoked, risc('sessions-revoked')])(
    'is the time of the event for %s: the sender ended the sessions then',
    async (uri) => {
      expect(await cutOff(uri, { event_timestamp: testNow - 7200 })).toBe(testNow - 7200);
      expect(await cutOff(uri, {}, { toe: testNow - 7200 })).toBe(testNow - 7200);
      expect(await cutOff(uri, {})).toBe(testNow);
    },
  );

  it.each([0, -1, 946_684_799, (testNow - 100) * 1000, (testNow - 100) * 1e6, `${testNow - 100}`, null])(
    'is the notice’s date where event_timestamp is %j, which is no time in seconds',
    async (event_timestamp) => {
      expect(await cutOff(sessionRevoked, { event_timestamp })).toBe(testNow);
    },
  );

  it('is never later than an issuer’s clock may show', async () => {
    for (const uri of [sessionRevoked, risc('account-disabled')]) {
      expect(await cutOff(uri, { event_timestamp: testNow + 3 })).toBe(testNow + 3);
      expect(await cutOff(uri, { event_timestamp: testNow + 30 })).toBe(testNow + 5);
      expect(await cutOff(uri, { event_timestamp: testNow + 86_400 })).toBe(testNow + 5);
    }
  });
});
