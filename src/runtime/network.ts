import { isIPv6 } from 'node:net';

/**
 * The network that a rate limit or a share belongs to: an IPv4 address, or the /64 of an IPv6 address,
 * because one client usually has a whole /64. Other texts are returned as they are.
 */
export function networkOf(address: string): string {
  const plain = address.split('%', 1)[0] ?? '';
  if (!isIPv6(plain)) return address;
  // `::ffff:192.0.2.1` is an IPv4 address on a socket that takes both.
  const mapped = /^::ffff:(?<ipv4>\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.groups?.['ipv4'];
  if (mapped !== undefined) return mapped;
  const [before = '', after] = plain.split('::');
  const groups = before === '' ? [] : before.split(':');
  const missing = after === undefined ? 0 : 8 - groups.length - groupsIn(after);
  const whole = [...groups, ...Array.from({ length: missing }, () => '0'), ...(after ?? '').split(':')];
  return whole
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':');
}

/** An IPv4 address at the end stands for two groups. */
const groupsIn = (text: string): number =>
  text === '' ? 0 : text.split(':').length + (text.includes('.') ? 1 : 0);
