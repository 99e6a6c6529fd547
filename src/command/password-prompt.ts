import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { Writable } from 'node:stream';
import { usageFault } from './command.ts';

const maxInputCharacters = 4096;

/**
 * Reads a password: at a terminal it is typed twice, without echo; otherwise it is all of standard input
 * without the last line end.
 * @throws ERR_USAGE if the two differ, or if the input is empty or too long
 */
export async function readPassword(): Promise<string> {
  const password = process.stdin.isTTY
    ? await typedTwice()
    : (await text(process.stdin)).replace(/\r?\n$/, '');
  if (password === '') throw usageFault('no password was given on standard input');
  if (password.length > maxInputCharacters) throw usageFault('the password is too long');
  return password;
}

async function typedTwice(): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const line = createInterface({ input: process.stdin, output: silent, terminal: true });
  const ask = async (prompt: string): Promise<string> => {
    process.stderr.write(prompt);
    const answer = await line.question('');
    process.stderr.write('\n');
    return answer;
  };
  try {
    const first = await ask('Password: ');
    if ((await ask('Again: ')) !== first) throw usageFault('the two passwords differ');
    return first;
  } finally {
    line.close();
  }
}
