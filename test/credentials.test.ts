import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCredentials } from '../scripts/credentials.ts';
import { temporaryDirectory } from './temporary.ts';
import { issueToken } from './token/tokens.ts';

const outputWith = (text: string): string => {
  const folder = temporaryDirectory();
  mkdirSync(join(folder, 'authorizer-1'));
  writeFileSync(join(folder, 'authorizer-1', 'output.log'), `{"msg":"before"}\n${text}\n`);
  writeFileSync(join(folder, 'credentials.txt'), 'only-for-the-test\n');
  return folder;
};

describe('the search for credentials', () => {
  it.each([
    ['a JWT', `a token: ${issueToken()}!`],
    ['a private key', '-----BEGIN PRIVATE KEY-----'],
    ['a private key', `{"kty":"OKP","d":"${'A'.repeat(43)}"}`],
    ['credential 1 of the tests', '{"password":"only-for-the-test"}'],
  ])('finds %s in a file of the output', (what, text) => {
    expect(findCredentials(outputWith(text)).found).toEqual([
      { file: join('authorizer-1', 'output.log'), what },
    ]);
  });

  it('finds nothing in output without any, and says how much it searched', () => {
    const { files, bytes, planted, found } = findCredentials(outputWith('{"sessionHash":"0123456789ab"}'));
    expect(found).toEqual([]);
    expect([files, planted]).toEqual([1, 1]);
    expect(bytes).toBeGreaterThan(30);
  });
});
