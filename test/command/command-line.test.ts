import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../src/command/command.ts';

const options = { issuer: { type: 'string' }, json: { type: 'boolean' } } as const;
const two = { min: 2, max: 2 };

describe('a command line', () => {
  it('may contain an id that begins with a hyphen, at any position', () => {
    for (const args of [
      ['session', '-Xy_z-1', '--issuer', 'https://idp.example', '--json'],
      ['session', '--json', '--issuer', 'https://idp.example', '-Xy_z-1'],
      ['--json', '--issuer', 'https://idp.example', '--', 'session', '-Xy_z-1'],
    ]) {
      const { values, positionals } = parseCommandLine(args, options, two);
      expect(positionals).toEqual(['session', '-Xy_z-1']);
      expect(values).toEqual({ json: true, issuer: 'https://idp.example' });
    }
  });

  it('with an unknown option, or with too many arguments, is refused', () => {
    expect(() => parseCommandLine(['session', 'x', '--all'], options, two)).toThrow("'--all'");
    expect(() => parseCommandLine(['session', 'x', '-j'], options, two)).toThrow("'-j'");
    expect(() => parseCommandLine(['session', 'x', '-abc'], options, two)).toThrow(
      'too many arguments: -abc',
    );
  });
});
