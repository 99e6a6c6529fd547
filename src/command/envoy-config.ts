import { stringify } from 'yaml';
import { authorizerSchema, type AuthorizerConfig } from '../config/authorizer.ts';
import { envoyConfig } from '../injection/envoy-config.ts';
import type { EnvoyConfigOptions, PathMatch } from '../injection/envoy-options.ts';
import { parseAddress } from '../runtime/address.ts';
import { loadConfig } from '../runtime/config.ts';
import { optionalText, parseCommandLine, requiredOption, usageFault, type Command } from './command.ts';

export const envoyConfigCommand: Command = {
  usage: [
    'envoy-config --config AUTHORIZER_FILE --upstream HOST:PORT [--listen HOST:PORT] [--public PATH|PREFIX/* …] [--cors-preflight allow|deny] [--trusted-proxy-hops N] [--json]',
  ],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(
      args,
      {
        config: { type: 'string' },
        upstream: { type: 'string' },
        listen: { type: 'string' },
        public: { type: 'string', multiple: true },
        'cors-preflight': { type: 'string' },
        'trusted-proxy-hops': { type: 'string' },
        json: { type: 'boolean' },
      },
      { min: 0, max: 0 },
    );
    const config = loadConfig({ schema: authorizerSchema, file: requiredOption(parsed, 'config') });
    const paths = parsed.values['public'];
    const options = envoyOptions(config, {
      upstream: hostAndPort('upstream', requiredOption(parsed, 'upstream')),
      listen: hostAndPort('listen', optionalText(parsed, 'listen') ?? '0.0.0.0:8000'),
      corsPreflight: preflight(optionalText(parsed, 'cors-preflight') ?? 'allow'),
      trustedProxyHops: hops(optionalText(parsed, 'trusted-proxy-hops') ?? '0'),
      publicPaths: (Array.isArray(paths) ? paths : []).map(toPathMatch),
    });
    const tree = envoyConfig(options);
    print(
      parsed.values['json'] === true
        ? JSON.stringify(tree, null, 2)
        : stringify(tree, { lineWidth: 0 }).trimEnd(),
    );
    return 0;
  },
};

type HostAndPort = { host: string; port: number };

function envoyOptions(
  config: AuthorizerConfig,
  service: {
    upstream: HostAndPort;
    listen: HostAndPort;
    publicPaths: readonly PathMatch[];
    corsPreflight: 'allow' | 'deny';
    trustedProxyHops: number;
  },
): EnvoyConfigOptions {
  return {
    services: [{ name: 'service', ...service }],
    authorizer: config.listen,
    sources: config.token.sources,
    reservedPrefix: config.upstream.prefix,
    cors: config.denied.corsOrigins.length > 0,
    loginRedirect: config.denied.loginRedirect !== undefined,
  };
}

function preflight(text: string): 'allow' | 'deny' {
  if (text === 'allow' || text === 'deny') return text;
  throw usageFault('--cors-preflight must be allow or deny');
}

function hops(text: string): number {
  if (/^[0-8]$/.test(text)) return Number(text);
  throw usageFault('--trusted-proxy-hops must be a number from 0 to 8');
}

function hostAndPort(option: string, text: string): HostAndPort {
  const address = parseAddress(text);
  if (address?.kind !== 'tcp') throw usageFault(`--${option} must be HOST:PORT`);
  return { host: address.host ?? '0.0.0.0', port: address.port };
}

function toPathMatch(text: string): PathMatch {
  if (!text.startsWith('/'))
    throw usageFault('--public must be a path such as /healthz, or a prefix such as /static/*');
  return text.endsWith('/*') ? { prefix: text.slice(0, -1) } : { exact: text };
}
