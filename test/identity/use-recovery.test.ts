import { expect, it } from 'vitest';
import { createUseRecovery } from '../../src/identity/store/use-recovery.ts';
import type { LostUse } from '../../src/identity/store/stored-tokens.ts';
import { createLog } from '../../src/runtime/log.ts';

const log = createLog({ program: 'test', level: 'silent' });

const useAt = (nowMs: number): LostUse => ({
  token: { kind: 'RefreshToken', id: 'first' },
  use: { by: 'a caller', nowMs, isMarked: true },
  successorId: `second-${nowMs}`,
});

it('undoes a second lost use of a token that is added while the first one is being undone', async () => {
  const taken: LostUse[] = [];
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const recovery = createUseRecovery({
    tokens: {
      takeBack: (lost) => {
        taken.push(lost);
        return answered;
      },
    },
    log,
  });
  const [first, second] = [useAt(1), useAt(2)];
  recovery.add([first]);
  const recovered = recovery.recover('RefreshToken', 'first');
  recovery.add([second]);
  answer();
  await recovered;
  await recovery.stop();
  expect(taken).toEqual([first, second]);
});
