import { authorizationDefinition } from '../../test/envoy/protocol.ts';

/**
 * The 20 headers that a browser behind a proxy sends besides its token. With Envoy's own, a check request has
 * 1.7 kB.
 */
const browserHeaders: Readonly<Record<string, string>> = {
  'user-agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'accept-encoding': 'gzip, deflate, br, zstd',
  'accept-language': 'en-GB,en;q=0.9,de;q=0.8',
  'cache-control': 'no-cache',
  pragma: 'no-cache',
  priority: 'u=0, i',
  referer: 'https://shop.example/orders?page=3',
  'sec-ch-ua': '"Chromium";v="140", "Not=A?Brand";v="24"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'sec-fetch-dest': 'empty',
  'sec-fetch-mode': 'cors',
  'sec-fetch-site': 'same-origin',
  cookie: 'theme=dark; locale=en-GB; consent=necessary',
};

const path = '/orders/4711?expand=lines';
const host = 'shop.example';

/** A complete HTTP/1.1 request with the token. */
export function httpRequest(token: string): Buffer {
  const headers = Object.entries({ host, ...browserHeaders, authorization: `Bearer ${token}` });
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
  );
}

/**
 * The check request that Envoy makes of it with its default settings, and with the policy of the benchmark's
 * routes.
 */
export function checkMessage(token: string): Buffer {
  const address = (port: number) => ({ socketAddress: { address: '127.0.0.1', portValue: port } });
  return authorizationDefinition.Check.requestSerialize({
    attributes: {
      source: { address: address(50_000) },
      destination: { address: address(8080) },
      request: {
        time: { seconds: Math.floor(Date.now() / 1000), nanos: 1000 },
        http: {
          id: '4711',
          method: 'GET',
          path,
          host,
          scheme: 'http',
          protocol: 'HTTP/1.1',
          headers: {
            ':authority': host,
            ':method': 'GET',
            ':path': path,
            ':scheme': 'http',
            ...browserHeaders,
            authorization: `Bearer ${token}`,
            'x-forwarded-proto': 'http',
            'x-request-id': '0b1f3a51-7c6b-4b7e-9f0e-3a0d5a1f4b1c',
          },
        },
      },
      contextExtensions: routePolicy,
      metadataContext: {},
      routeMetadataContext: {},
    },
  });
}

/** The policy of every route of the benchmark. */
export const routePolicy: Readonly<Record<string, string>> = {
  'curfew.audience': 'orders',
  'curfew.scopes': 'read',
  'curfew.max-exposure': '20s',
};
