import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCodes, frameTypes, settingIds } from '../../src/http2/frames.ts';
import {
  dataFrames,
  frame,
  headersFrame,
  openFrame,
  RawClient,
  resetFrame,
  settingsFrame,
  windowFrame,
} from './raw-client.ts';
import { useSurvivingEcho } from './surviving-echo.ts';

const { echo, port, faults, closedWith } = useSurvivingEcho();

type Step =
  | { readonly kind: 'open' }
  | { readonly kind: 'data'; readonly which: number; readonly bytes: number }
  | { readonly kind: 'end' | 'reset'; readonly which: number }
  | { readonly kind: 'window'; readonly which: number; readonly bytes: number }
  | { readonly kind: 'settings'; readonly bytes: number }
  | { readonly kind: 'ping' | 'table' | 'pause' };

const which = fc.nat(20);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'open' }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('data' as const), which, bytes: fc.nat(40_000) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('window' as const),
      which,
      bytes: fc.integer({ min: 1, max: 50_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('settings' as const), bytes: fc.nat(70_000) }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'ping' }, { kind: 'table' }, { kind: 'pause' }) },
);

type Sent = { readonly id: number; body: Buffer; isEnded: boolean; isReset: boolean };

/** A client that keeps to the protocol. */
class Model {
  readonly client: RawClient;
  readonly sent: Sent[] = [];

  constructor(client: RawClient) {
    this.client = client;
  }

  async take(step: Step): Promise<void> {
    const { client, sent } = this;
    const unended = sent.filter(({ isEnded, isReset }) => !isEnded && !isReset);
    const chosen = 'which' in step ? unended[step.which % unended.length] : undefined;
    if (step.kind === 'open' && sent.length < 90) this.#open();
    else if (step.kind === 'data' && chosen !== undefined) this.#say(chosen, step.bytes);
    else if (step.kind === 'end' && chosen !== undefined) this.end(chosen);
    else if (step.kind === 'reset' && sent.length > 0) this.#reset(sent[step.which % sent.length]);
    else if (step.kind === 'window') client.send(windowFrame(sent[step.which]?.id ?? 0, step.bytes));
    else if (step.kind === 'settings')
      client.send(settingsFrame([[settingIds.initialWindowSize, step.bytes]]));
    else if (step.kind === 'ping') await client.handled();
    else if (step.kind === 'table') client.send(settingsFrame([[settingIds.headerTableSize, 0]]));
    else if (step.kind === 'pause') await new Promise((resolve) => setImmediate(resolve));
  }

  #open(): void {
    const id = this.sent.length * 2 + 1;
    this.sent.push({ id, body: Buffer.alloc(0), isEnded: false, isReset: false });
    this.client.send(openFrame(id));
  }

  #say(request: Sent, bytes: number): void {
    if (request.body.length + bytes > 256 * 1024) return;
    const part = Buffer.alloc(bytes, `${request.id} ${request.body.length} `);
    request.body = Buffer.concat([request.body, part]);
    this.client.send(...dataFrames(request.id, part, false));
  }

  end(request: Sent): void {
    request.isEnded = true;
    // Every other stream ends with trailers.
    this.client.send(
      request.id % 4 === 1
        ? headersFrame(request.id, [['x', 'y']], 1)
        : frame(frameTypes.data, 1, request.id),
    );
  }

  #reset(request: Sent | undefined): void {
    if (request === undefined) return;
    request.isReset = true;
    this.client.send(resetFrame(request.id, errorCodes.cancel));
  }
}

describe('a client that keeps to the protocol', () => {
  it('gets the right response to every request that it has not reset', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const seenBefore = echo.seen.length;
        const client = await RawClient.connect(port());
        client.hello([[settingIds.initialWindowSize, 1000]]);
        const model = new Model(client);
        for (const step of steps) await model.take(step);
        for (const request of model.sent) if (!request.isEnded && !request.isReset) model.end(request);
        client.send(settingsFrame([[settingIds.initialWindowSize, 1_000_000]]), windowFrame(0, 100_000_000));
        const kept = model.sent.filter(({ isReset }) => !isReset);
        const answers = await Promise.all(kept.map(({ id }) => client.answer(id)));
        await client.handled();
        const connection = echo.connections.at(-1);
        expect(answers.map((answer, index) => answer === kept[index]?.body.toString('latin1'))).toEqual(
          kept.map(() => true),
        );
        expect(connection?.openStreams).toBe(0);
        expect(echo.seen).toHaveLength(seenBefore + model.sent.length);
        expect(client.goneAway()).toEqual([]);
        expect(kept.filter(({ id }) => client.resetCode(id) !== undefined)).toEqual([]);
        client.destroy();
        await closedWith(echo.connections.length);
      }),
      { numRuns: 500 },
    );
    expect(faults).toEqual([]);
  });
});
