import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../processes.ts';
import { logoutPost, outboxOf, setPost, webhookPost } from './deliveries.ts';
import {
  listenedUntilNow,
  relayFolder,
  startRelay,
  startRelayProgram,
  type RelayFolder,
} from './relay-server.ts';

// A sender that has its 2xx never sends again: what it was told is done must be in the database.

let place: RelayFolder;

beforeEach(async () => {
  place = await relayFolder();
  await listenedUntilNow(place);
});
afterEach(() => rmSync(place.folder, { recursive: true, force: true }));

describe('a relay whose database fails', () => {
  it('answers 503, records nothing, and processes the same delivery when it is retried', async () => {
    const relay = await startRelay({}, place);
    const database = new DatabaseSync(relay.sqlite);
    database.exec(`create trigger broken before insert on revocation_outbox
      begin select raise(abort, 'the disk is full'); end`);
    const posts = [
      setPost('ada'),
      logoutPost('session-1'),
      webhookPost({ kind: 'session', id: 'session-2' }),
    ];
    for (const post of posts) {
      const answer = await relay.post(...post);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    }
    expect(database.prepare('select count(*) as n from receiver_deliveries').get()).toEqual({ n: 0 });
    expect(outboxOf(relay.sqlite)).toEqual([]);

    database.exec('drop trigger broken');
    database.close();
    for (const post of posts) expect((await relay.post(...post)).status).toBeLessThan(300);
    expect(outboxOf(relay.sqlite).map(({ target }) => target)).toEqual(['ada', 'session-1', 'session-2']);
    expect(await relay.metric('curfew_received_events_total{source="set-push",result="failed"}')).toBe(1);
    await relay.stop();
  });

  it('keeps nothing of a delivery when only the deduplication record failed', async () => {
    const relay = await startRelay({}, place);
    const database = new DatabaseSync(relay.sqlite);
    database.exec(`create trigger broken before insert on receiver_deliveries
      begin select raise(abort, 'the disk is full'); end`);
    expect((await relay.post(...logoutPost('session-1'))).status).toBe(503);
    expect(outboxOf(relay.sqlite)).toEqual([]);
    database.close();
    await relay.stop();
  });

  it('answers no sender before the commit', async () => {
    const relay = await startRelay({}, place);
    const blocker = new DatabaseSync(relay.sqlite);
    blocker.exec('begin immediate');
    let isAnswered = false;
    const answer = relay.post(...logoutPost('blocked')).finally(() => {
      isAnswered = true;
    });
    // Longer than a commit and the wait for Redis take together.
    await setTimeout(600);
    expect(isAnswered).toBe(false);
    blocker.exec('rollback');
    blocker.close();
    expect((await answer).status).toBe(200);
    expect(outboxOf(relay.sqlite)).toMatchObject([{ target: 'blocked' }]);
    await relay.stop();
  });
});

describe('a relay that is killed', () => {
  it(
    'keeps acknowledged deliveries, and accepts unacknowledged ones again',
    { timeout: 60_000 },
    async () => {
      const acknowledged: string[] = [];
      for (let round = 0; round < 3; round += 1) {
        const relay = await startRelayProgram(place);
        const posts = Array.from({ length: 60 }, (_, index) => `round-${round}-${index}`);
        const deliveries = new Map(posts.map((session) => [session, logoutPost(session)]));
        const sending = posts.map(async (session) => {
          const post = deliveries.get(session);
          const answer = post === undefined ? undefined : await relay.post(...post).catch(() => undefined);
          if (answer?.status === 200) acknowledged.push(session);
        });
        await eventually('some are acknowledged', () =>
          acknowledged.length > round * 60 + 5 ? true : undefined,
        );
        await relay.program.stop('SIGKILL');
        await Promise.all(sending);

        const after = new Set(outboxOf(relay.sqlite).map(({ target }) => target));
        expect(acknowledged.filter((session) => !after.has(session))).toEqual([]);

        const again = await startRelayProgram(place);
        for (const post of deliveries.values()) expect((await again.post(...post)).status).toBe(200);
        acknowledged.push(...posts.filter((session) => !acknowledged.includes(session)));
        const targets = outboxOf(relay.sqlite).map(({ target }) => target);
        expect(targets.filter((one, index) => targets.indexOf(one) !== index)).toEqual([]);
        expect(targets).toEqual(expect.arrayContaining(posts));
        expect(await again.program.stop('SIGTERM')).toBe(0);
      }
    },
  );
});
