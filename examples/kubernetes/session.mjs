// Calls a service before a login, after it, and after the logout, and prints the responses. Run it inside the cluster.
const issuer = 'http://curfew-identity.curfew.svc:8080';
const service = 'http://orders.shop.svc/';

async function ask(what, url, options = {}) {
  const response = await fetch(url, { ...options, signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  const isOurs = url.startsWith(issuer);
  console.log(`${what.padEnd(28)} ${response.status}${isOurs || !response.ok ? '' : `  ${text}`}`);
  return text;
}

const post = (what, path, form) =>
  ask(what, issuer + path, { method: 'POST', body: new URLSearchParams({ client_id: 'cli', ...form }) });

await ask('orders, without a token', service);
const tokens = JSON.parse(
  await post('login', '/token', {
    grant_type: 'urn:curfew:grant-type:login',
    username: 'alice',
    password: 'correct horse battery staple',
  }),
);
const headers = { authorization: `Bearer ${tokens.access_token}` };
await ask('orders, with the token', service, { headers });
await post('logout', '/token/revocation', { token: tokens.refresh_token });
await ask('orders, with the same token', service, { headers });
