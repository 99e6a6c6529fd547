import type { PodPorts } from './pod-ports.ts';

/**
 * The nftables rules of a pod with redirect capture, for both address families. Incoming traffic goes through
 * Envoy, or to a port that was declared open; everything else is rejected. Outgoing and loopback traffic are
 * not affected. Applying the rules again changes nothing.
 */
export function redirectRules(ports: PodPorts): string {
  const envoyPorts = ports.protected.map(({ envoyPort }) => envoyPort);
  const tcp = [...envoyPorts, ports.own.probes, ports.own.authorizerAdmin, ...ports.openTcp];
  return [
    // The first line creates the table if it is missing, so that the second never fails.
    'table inet curfew',
    'delete table inet curfew',
    'table inet curfew {',
    '  chain to_envoy {',
    '    type nat hook prerouting priority dstnat; policy accept;',
    '    iifname "lo" accept',
    ...ports.protected.map(({ port, envoyPort }) => `    tcp dport ${port} redirect to :${envoyPort}`),
    '  }',
    '  chain from_outside {',
    '    type filter hook input priority filter; policy accept;',
    '    iifname "lo" accept',
    '    ct state established,related accept',
    `    tcp dport ${set(tcp)} accept`,
    ...(ports.openUdp.length > 0 ? [`    udp dport ${set(ports.openUdp)} accept`] : []),
    '    meta l4proto tcp reject with tcp reset',
    // Replies to the pod's own requests are established, and so accepted above. ICMP stays: IPv6 needs it.
    '    meta l4proto { udp, udplite, sctp, dccp } drop',
    '  }',
    '}',
    '',
  ].join('\n');
}

const set = (numbers: readonly number[]): string =>
  `{ ${[...new Set(numbers)].sort((a, b) => a - b).join(', ')} }`;
