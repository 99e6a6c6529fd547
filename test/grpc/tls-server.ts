// A server with mutual TLS in a process of its own, so that what it costs can be told from what its clients
// cost.
import { allowed, startServer } from './grpc-fixture.ts';
import { createTransport } from './transports.ts';

export type ServerUsage = { readonly cpuUs: number; readonly rssBytes: number; readonly decisions: number };

const [cert = '', key = '', clientCa = ''] = process.argv.slice(2);
const running = await startServer(() => allowed(), {
  transport: { ...createTransport('tcp'), tls: { cert, key, clientCa } },
});

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const decisions = running.decisions.length;
  process.send?.({
    cpuUs: user + system,
    rssBytes: process.memoryUsage.rss(),
    decisions,
  } satisfies ServerUsage);
});
process.on('disconnect', () => process.exit());
process.send?.(Number(running.target.split(':')[1]));
