import { Fault } from '../runtime/fault.ts';
import type { Log } from '../runtime/log.ts';
import { sessionHash } from '../runtime/session-hash.ts';
import type { MissedNotices } from './missed-notices.ts';
import {
  emptyAnswer,
  receiverFields,
  refuseDelivery,
  type Accepted,
  type Answer,
  type Receiver,
} from './receiver.ts';
import type { Recorder } from './recorder.ts';

export type AcceptedOutcome = {
  /** The label of the metric. */
  readonly result: 'accepted' | 'duplicate' | 'failed' | 'too_many_keys' | 'unknown_subject';
  readonly answer: Answer;
};

/** Records the revocations of an authentic delivery. */
export type HandleAccepted = (
  at: { readonly receiver: Receiver; readonly redeliveryMs: number },
  accepted: Accepted,
) => Promise<AcceptedOutcome>;

/** Largest number of deliveries that are being recorded at the same time. */
const maxRecording = 1024;

export function createAcceptedHandler(options: {
  readonly recorder: Recorder;
  readonly missed: Pick<MissedNotices, 'authentic'>;
  readonly log: Log;
}): HandleAccepted {
  const { recorder, missed, log } = options;
  let recording = 0;

  async function record(receiver: Receiver, accepted: Accepted): Promise<'accepted' | 'duplicate'> {
    if (recording >= maxRecording) throw new Error('too many deliveries are being recorded');
    recording += 1;
    try {
      return await recorder.record(receiver, accepted);
    } finally {
      recording -= 1;
    }
  }

  return async ({ receiver, redeliveryMs }, accepted) => {
    const fields = { ...receiverFields(receiver), ...revocationFields(accepted) };
    // PostgreSQL can't store text with U+0000. Every attempt would fail, and each would count as a missed
    // notice.
    if (accepted.requests.some(({ id }) => id?.includes('\0'))) {
      const refusal = refuseDelivery('unknown_subject', { claim: 'id', found: 'an id with U+0000' });
      log.warn('delivery refused', { ...fields, reason: refusal.reason, ...refusal.detail });
      return { result: 'unknown_subject', answer: receiver.refused(refusal) };
    }
    try {
      const result = await record(receiver, accepted);
      log.info('delivery accepted', { ...fields, result });
      return { result, answer: receiver.accepted };
    } catch (thrown) {
      if (thrown instanceof Fault && thrown.code === 'ERR_REVOCATION_INVALID') {
        // The receiver has checked ids and issuers, so only the number of revoked keys can be wrong.
        const refusal = refuseDelivery('too_many_keys');
        log.error('delivery refused', { ...fields, reason: refusal.reason, err: thrown });
        return { result: 'too_many_keys', answer: receiver.refused(refusal) };
      }
      log.error('cannot record delivery', { ...fields, err: thrown });
      missed.authentic({ receiver, redeliveryMs });
      return { result: 'failed', answer: emptyAnswer(503) };
    }
  };
}

/** The revocations of a delivery, for the log: one session by its short hash, others only by their number. */
function revocationFields({ requests }: Accepted) {
  const [first] = requests;
  if (first === undefined) return {};
  const { iss: issuer, kind, id, reason } = first;
  const isOnly = requests.length === 1;
  return {
    issuer,
    count: requests.length,
    ...(isOnly ? { kind } : {}),
    ...(isOnly && kind === 'session' && id !== undefined ? { sessionHash: sessionHash(id) } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
}
