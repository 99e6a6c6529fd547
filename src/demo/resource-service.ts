// An ordinary resource service, which knows nothing about JWTs, sessions or Curfew. It answers with the
// identity headers of the request, to show what reaches it.
import { createServer } from 'node:http';

const [port = '3000', host = '127.0.0.1'] = process.argv.slice(2);

const orders = [
  { id: 1001, item: 'espresso machine', status: 'shipped' },
  { id: 1002, item: 'coffee beans', status: 'packed' },
];

const server = createServer((request, response) => {
  const seen = Object.entries(request.headers).filter(([name]) => /^x[-_]auth[-_]/.test(name));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(
    `${JSON.stringify({ orders, path: request.url, identityHeaders: Object.fromEntries(seen) })}\n`,
  );
});

server.listen(Number(port), host);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}
