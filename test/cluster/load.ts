import type { Client } from './client.ts';

export type Count = {
  /** Requests with a token that passed. */
  allowed: number;
  /** Requests without a token that passed. */
  leaked: number;
  /** What other answers there were to a request with a token, by status or by the error's name. */
  failed: Record<string, number>;
};

const program = `
const [url, issuer, refresh] = process.argv.slice(1);
let token = refresh;
let access;
let isOver = false;
const count = { allowed: 0, leaked: 0, failed: {} };
const note = (what) => (count.failed[what] = (count.failed[what] ?? 0) + 1);
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
async function renew() {
  while (!isOver) {
    try {
      const r = await fetch(issuer + '/token', { method: 'POST', signal: AbortSignal.timeout(3000), body: new URLSearchParams({ grant_type: 'refresh_token', client_id: 'cli', refresh_token: token }) });
      if (r.ok) { const body = await r.json(); token = body.refresh_token; access = body.access_token; return; }
    } catch {}
    await pause(200);
  }
}
async function once(withToken) {
  try {
    const r = await fetch(url, { headers: withToken ? { authorization: 'Bearer ' + access } : {}, signal: AbortSignal.timeout(5000) });
    await r.text();
    if (!withToken) { if (r.status === 200) count.leaked += 1; return; }
    if (r.status === 200) count.allowed += 1; else note(r.status);
  } catch (e) { if (withToken) note(e.cause?.code ?? e.name); }
}
process.stdin.resume().on('end', () => (isOver = true));
(async () => {
  await renew();
  let renewed = Date.now();
  console.log('running');
  while (!isOver) {
    if (Date.now() - renewed > 15000) { renewed = Date.now(); await renew(); }
    await Promise.all([once(true), once(true), once(true), once(false)]);
    await pause(10);
  }
  console.log(JSON.stringify(count));
  process.exit();
})();`;

/** Sends requests with and without a token, as long as `work` takes; the session is renewed on the way. */
export async function underLoad(
  client: Client,
  at: { url: string; issuer: string; refreshToken: string },
  work: () => Promise<unknown>,
): Promise<Count> {
  const load = client.run(program, at.url, at.issuer, at.refreshToken);
  const isRunning = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let printed = '';
  for (const stream of [load.stdout, load.stderr])
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes('running')) isRunning.resolve();
    });
  load.on('close', () => ended.resolve());
  try {
    await Promise.race([isRunning.promise, ended.promise]);
    await work();
  } finally {
    load.stdin.end();
    await ended.promise;
  }
  const line = printed.split('\n').find((one) => one.startsWith('{'));
  if (line === undefined) throw new Error(`the load did not run to its end: ${printed.slice(-1000)}`);
  return JSON.parse(line) as Count;
}
