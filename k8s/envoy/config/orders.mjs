// An ordinary service: it knows nothing of tokens, and responds with the headers that reached it.
import { createServer } from 'node:http';

createServer((request, response) => {
  const identityHeaders = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => /^x[-_]auth[-_]/.test(name)),
  );
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ path: request.url, identityHeaders })}\n`);
}).listen(3000);

process.on('SIGTERM', () => process.exit(0));
