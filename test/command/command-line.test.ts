import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../src/command/command.ts';

const options = { issuer: { type: 'string' }, json: { type: 'boolean' } } as const;
const two = { min: 2, max: 2 };

describe('a command line', () => {
  it('may name an id that begins with a hyphen, wherever it stands', () => {
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

  it('with an option that is none, or an argument too many, is refused', () => {
    expect(() => parseCommandLine(['session', 'x', '--all'], options, two)).toThrow("'--all'");
    expect(() => parseCommandLine(['session', 'x', '-j'], options, two)).toThrow("'-j'");
    expect(() => parseCommandLine(['session', 'x', '-abc'], options, two)).toThrow(
      'too many arguments: -abc',
    );
  });
});
