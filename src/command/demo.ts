import { runDemo } from '../demo/demo.ts';
import { optionalText, parseCommandLine, usageFault, type Command } from './command.ts';

export const demoCommand: Command = {
  usage: ['demo [--walk] [--port 10000] [--identity-port 8080]'],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(
      args,
      { walk: { type: 'boolean' }, port: { type: 'string' }, 'identity-port': { type: 'string' } },
      { min: 0, max: 0 },
    );
    return runDemo({
      walk: parsed.values['walk'] === true,
      port: toPort('port', optionalText(parsed, 'port') ?? '10000'),
      identityPort: toPort('identity-port', optionalText(parsed, 'identity-port') ?? '8080'),
      print,
    });
  },
};

function toPort(option: string, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw usageFault(`--${option} must be a port from 1 to 65535`);
  return port;
}
