import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { repository, startProgram } from '../processes.ts';
import { webhookSecretText } from '../receivers/senders.ts';
import { temporaryDirectory } from '../temporary.ts';
import { outboxOf } from './deliveries.ts';
import { startRelay } from './relay-server.ts';

describe('the program in docs/relay.md', () => {
  it('revokes what it is told', async () => {
    const text = readFileSync(join(repository, 'docs', 'relay.md'), 'utf8');
    const example = /```js webhook\n(?<code>.*?)```/s.exec(text)?.groups?.['code'] ?? '';
    expect(example).not.toBe('');
    const file = join(temporaryDirectory(), 'revoke.mjs');
    writeFileSync(file, example);
    const relay = await startRelay();
    onTestFinished(() => relay.stop());
    const program = startProgram('example', process.execPath, [file, 'session', 'session-1'], {
      WEBHOOK_URL: `${relay.url}/webhook`,
      WEBHOOK_SECRET: webhookSecretText,
    });
    expect([await program.exited, program.printed().trim()]).toEqual([0, '204']);
    expect(outboxOf(relay.sqlite)).toMatchObject([{ kind: 'session', target: 'session-1' }]);
  });
});
