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
  // Each trusted proxy appends the address of its peer. The client may have invented all entries to the left
  // of those.
  const address = withoutPort(forwarded.at(-trustedProxyHops)?.trim() ?? '');
  return isIP(address) === 0 ? peer : address;
}

// Some proxies append the peer's port, too: 192.0.2.1:4711 or [2001:db8::1]:4711. It is removed: a client has
// thousands of ports, and each would count as another address.
const bracketed = /^\[(?<address>[^\]]*)\](?::\d{1,5})?$/;
const dotted = /^(?<address>[\d.]+):\d{1,5}$/;

const withoutPort = (text: string): string =>
  (bracketed.exec(text) ?? dotted.exec(text))?.groups?.['address'] ?? text;
