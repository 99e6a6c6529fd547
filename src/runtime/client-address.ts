import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * The address a request came from.
 * @param trustedProxyHops how many proxies in front add to `X-Forwarded-For`; 0: the header is ignored
 */
export function clientAddress(
  request: Pick<IncomingMessage, 'headers' | 'socket'>,
  trustedProxyHops: number,
): string {
  const peer = request.socket.remoteAddress ?? 'unknown';
  if (trustedProxyHops === 0) return peer;
  const { 'x-forwarded-for': header } = request.headers;
  const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',');
  // Each trusted proxy appends the peer it saw; whatever stands further left is the client's own invention.
  const address = withoutPort(forwarded.at(-trustedProxyHops)?.trim() ?? '');
  return isIP(address) === 0 ? peer : address;
}

// Some proxies append the peer's port: 192.0.2.1:4711 or [2001:db8::1]:4711. A client has thousands of ports.
const bracketed = /^\[(?<address>[^\]]*)\](?::\d{1,5})?$/;
const dotted = /^(?<address>[\d.]+):\d{1,5}$/;

const withoutPort = (text: string): string =>
  (bracketed.exec(text) ?? dotted.exec(text))?.groups?.['address'] ?? text;
