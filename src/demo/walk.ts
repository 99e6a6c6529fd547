import { systemClock } from '../runtime/clock.ts';
import { Fault } from '../runtime/fault.ts';

export type WalkOptions = {
  /** Where Envoy listens, `http://localhost:10000`. */
  resource: string;
  /** The issuer, `http://localhost:8080`. */
  identity: string;
  clientId: string;
  username: string;
  password: string;
  print(line: string): void;
};

type Reply = { status: number; headers: Headers; body: Record<string, unknown> };
type Tokens = { access: string; refresh: string };
type Endpoints = { token: string; revocation: string };

const requestTimeoutMs = 5000;
/**
 * The maximum time to wait for a refusal. Usually it takes less than `usualRefusalMs`; a busy machine may
 * take longer.
 */
const refusalDeadlineMs = 2000;
const usualRefusalMs = 50;

/**
 * Plays login, use, refresh and logout against running programs, and prints each request and its answer.
 * @returns true if every step passed
 */
export async function walk(options: WalkOptions): Promise<boolean> {
  const { print } = options;
  const steps: [title: string, run: (state: State) => Promise<Outcome>][] = [
    ['Ask for the orders without a token', askWithoutToken],
    ['Log in on a laptop', loginOnLaptop],
    ['Ask again, with the access token', askWithToken],
    ['Claim to be someone else', spoofIdentity],
    ['Log in on a phone: a second session of the same person', loginOnPhone],
    ["Refresh the laptop's tokens", refreshLaptop],
    ['Log the laptop out, and use the same access token at once', logoutLaptop],
    ["Try the laptop's refresh token", refreshAfterLogout],
    ["Ask with the phone's token", askFromPhone],
  ];
  const state: State = { options, endpoints: await discover(options.identity) };
  let hasPassed = true;
  for (const [index, [title, run]] of steps.entries()) {
    print(`\n${index + 1}. ${title}`);
    const { passed, says } = await run(state).catch((thrown: unknown) =>
      failed(thrown instanceof Error ? thrown.message : 'failed'),
    );
    print(`   ${passed ? 'ok' : 'FAILED'}: ${says}`);
    hasPassed &&= passed;
  }
  print(hasPassed ? `\nAll ${steps.length} steps passed.` : '\nNot every step passed.');
  return hasPassed;
}

type State = { options: WalkOptions; endpoints: Endpoints; laptop?: Tokens; phone?: Tokens };
type Outcome = { passed: boolean; says: string };

const outcome = (passed: boolean, says: string): Outcome => ({ passed, says });
const failed = (says: string): Outcome => outcome(false, says);

async function discover(identity: string): Promise<Endpoints> {
  const { status, body } = await send(`${identity}/.well-known/openid-configuration`);
  const token = body['token_endpoint'];
  const revocation = body['revocation_endpoint'];
  if (status !== 200 || typeof token !== 'string' || typeof revocation !== 'string') {
    throw new Fault('ERR_PROGRAM_UNAVAILABLE', `${identity} answered ${status} to OpenID discovery`);
  }
  return { token, revocation };
}

async function askWithoutToken(state: State): Promise<Outcome> {
  const reply = await askOrders(state);
  const challenge = reply.headers.get('www-authenticate') ?? '';
  return outcome(reply.status === 401 && challenge.startsWith('Bearer'), 'refused, with a challenge');
}

async function loginOnLaptop(state: State): Promise<Outcome> {
  const tokens = await login(state);
  if (tokens === undefined) return failed('no tokens');
  state.laptop = tokens;
  return outcome(
    true,
    `an access token of ${tokens.access.length} bytes, good for a minute, and a refresh token`,
  );
}

async function askWithToken(state: State): Promise<Outcome> {
  const reply = await askOrders(state, state.laptop?.access);
  const identity = identityHeaders(reply);
  state.options.print(`     the service saw: ${JSON.stringify(identity)}`);
  const passed =
    reply.status === 200 && isFilled(identity['x-auth-subject']) && isFilled(identity['x-auth-session']);
  return outcome(
    passed,
    'the service answered; it got the identity in headers, and did not have to verify the token',
  );
}

async function spoofIdentity(state: State): Promise<Outcome> {
  const spoofed = { 'x-auth-subject': 'root', x_auth_subject: 'root', 'x-auth-role': 'admin' };
  const reply = await askOrders(state, state.laptop?.access, spoofed);
  const identity = identityHeaders(reply);
  const values = Object.values(identity);
  return outcome(
    reply.status === 200 && !values.includes('root') && !values.includes('admin'),
    'the forged headers did not arrive',
  );
}

async function loginOnPhone(state: State): Promise<Outcome> {
  const tokens = await login(state);
  if (tokens === undefined) return failed('no tokens');
  state.phone = tokens;
  return outcome(true, 'another session, with tokens of its own');
}

async function refreshLaptop(state: State): Promise<Outcome> {
  const { options, laptop } = state;
  if (laptop === undefined) return failed('the laptop is not logged in');
  const reply = await post(state, state.endpoints.token, {
    grant_type: 'refresh_token',
    client_id: options.clientId,
    refresh_token: laptop.refresh,
  });
  const tokens = readTokens(reply);
  if (tokens === undefined) return failed('no new tokens');
  const rotated = tokens.refresh !== laptop.refresh && tokens.access !== laptop.access;
  state.laptop = tokens;
  const used = await askOrders(state, tokens.access);
  return outcome(rotated && used.status === 200, 'both tokens were replaced, and the new one is accepted');
}

async function logoutLaptop(state: State): Promise<Outcome> {
  const { laptop, options } = state;
  if (laptop === undefined) return failed('the laptop is not logged in');
  const before = await askOrders(state, laptop.access);
  const loggedOut = logout(state, laptop.refresh);
  const [refusal, reply] = await Promise.all([
    untilRefused(options.resource, laptop.access, loggedOut),
    loggedOut,
  ]);
  if (refusal === undefined) return failed(`still accepted ${refusalDeadlineMs} ms after the logout`);
  const { sinceSentMs, sinceAnsweredMs, status } = refusal;
  const relative =
    sinceAnsweredMs <= 0
      ? `${(-sinceAnsweredMs).toFixed(1)} ms before`
      : `${sinceAnsweredMs.toFixed(1)} ms after`;
  options.print(
    `     the same request, repeated: ${before.status} before, ${status} from ${sinceSentMs.toFixed(1)} ms after the logout was sent,`,
  );
  options.print(`     which is ${relative} the logout was answered; the token had most of its minute left`);
  const again = await askOrders(state, laptop.access);
  const passed = before.status === 200 && reply.status === 200 && status === 401 && again.status === 401;
  return outcome(
    passed,
    `logout to refusal: ${sinceSentMs.toFixed(1)} ms (usually below ${usualRefusalMs} ms)`,
  );
}

type LogoutRefusal = { status: number; sinceSentMs: number; sinceAnsweredMs: number };
type LoggedOut = Reply & { sentAt: number; answeredAt: number };

/**
 * Repeats a request until it is refused. The times are those of the refusal's arrival. Undefined after the
 * deadline.
 */
async function untilRefused(
  resource: string,
  token: string,
  loggedOut: Promise<LoggedOut>,
): Promise<LogoutRefusal | undefined> {
  const started = systemClock.monotonicMs();
  while (systemClock.monotonicMs() - started < refusalDeadlineMs) {
    const { status } = await send(`${resource}/orders`, { headers: { authorization: `Bearer ${token}` } });
    if (status === 200) continue;
    const refusedAt = systemClock.monotonicMs();
    const { sentAt, answeredAt } = await loggedOut;
    return { status, sinceSentMs: refusedAt - sentAt, sinceAnsweredMs: refusedAt - answeredAt };
  }
  return undefined;
}

async function logout(state: State, refreshToken: string): Promise<LoggedOut> {
  const sentAt = systemClock.monotonicMs();
  const form = { token: refreshToken, token_type_hint: 'refresh_token', client_id: state.options.clientId };
  const reply = await post(state, state.endpoints.revocation, form);
  return { ...reply, sentAt, answeredAt: systemClock.monotonicMs() };
}

async function refreshAfterLogout(state: State): Promise<Outcome> {
  const { options, laptop } = state;
  const form = {
    grant_type: 'refresh_token',
    client_id: options.clientId,
    refresh_token: laptop?.refresh ?? '',
  };
  const reply = await post(state, state.endpoints.token, form);
  return outcome(
    reply.status === 400 && reply.body['error'] === 'invalid_grant',
    'the refresh token is refused, too',
  );
}

async function askFromPhone(state: State): Promise<Outcome> {
  const reply = await askOrders(state, state.phone?.access);
  return outcome(reply.status === 200, 'the other session is still valid');
}

async function login(state: State): Promise<Tokens | undefined> {
  const { clientId, username, password } = state.options;
  const form = { grant_type: 'urn:curfew:grant-type:login', client_id: clientId, username, password };
  return readTokens(await post(state, state.endpoints.token, form));
}

function readTokens({ status, body }: Reply): Tokens | undefined {
  const { access_token: access, refresh_token: refresh } = body;
  return status === 200 && typeof access === 'string' && typeof refresh === 'string'
    ? { access, refresh }
    : undefined;
}

async function askOrders(state: State, token?: string, extra: Record<string, string> = {}): Promise<Reply> {
  const { print, resource } = state.options;
  const shown = [
    ...(token === undefined ? [] : ['authorization: Bearer <access token>']),
    ...Object.entries(extra).map((pair) => pair.join(': ')),
  ];
  print(`   > GET ${resource}/orders${shown.length > 0 ? `  (${shown.join(', ')})` : ''}`);
  const headers = token === undefined ? extra : { ...extra, authorization: `Bearer ${token}` };
  const reply = await send(`${resource}/orders`, { headers });
  const challenge = reply.headers.get('www-authenticate');
  print(`   < ${reply.status}${challenge === null ? '' : `  www-authenticate: ${challenge}`}`);
  return reply;
}

async function post(state: State, url: string, form: Record<string, string>): Promise<Reply> {
  const secret = new Set(['password', 'refresh_token', 'token']);
  const shown = Object.entries(form).map(
    ([name, value]) => `${name}=${secret.has(name) ? `<${name}>` : value}`,
  );
  state.options.print(`   > POST ${url}  ${shown.join(' ')}`);
  const reply = await send(url, { method: 'POST', body: new URLSearchParams(form) });
  const names = Object.keys(reply.body).join(', ');
  const error = typeof reply.body['error'] === 'string' ? `  error=${reply.body['error']}` : '';
  state.options.print(`   < ${reply.status}${error || (names === '' ? '' : `  ${names}`)}`);
  return reply;
}

async function send(url: string, init: RequestInit = {}): Promise<Reply> {
  const response = await fetch(url, {
    ...init,
    redirect: 'manual',
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: parseObject(text) };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function identityHeaders({ body }: Reply): Record<string, unknown> {
  const seen = body['identityHeaders'];
  return typeof seen === 'object' && seen !== null ? (seen as Record<string, unknown>) : {};
}

const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== '';
