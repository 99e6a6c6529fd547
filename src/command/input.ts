import { createReadStream } from 'node:fs';
import { Fault } from '../runtime/fault.ts';
import { describeError } from '../runtime/log.ts';

/**
 * Reads a whole file, or standard input for `-`.
 * @param maxBytes longer input is refused before it is read to its end
 * @throws ERR_CONFIG_UNREADABLE
 */
export async function readInput(file: string, maxBytes: number): Promise<string> {
  const name = file === '-' ? 'standard input' : file;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      const part = chunk as Buffer;
      bytes += part.length;
      if (bytes > maxBytes)
        throw new Fault('ERR_CONFIG_UNREADABLE', `${name} is larger than ${maxBytes / 1024 / 1024} MiB`);
      chunks.push(part);
    }
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('ERR_CONFIG_UNREADABLE', `cannot read ${name}: ${describeError(thrown).message}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}
