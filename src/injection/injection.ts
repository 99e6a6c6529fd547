import { Fault } from '../runtime/fault.ts';
import {
  allowAdmission,
  denyAdmission,
  parseAdmissionReview,
  type Admission,
  type PatchOperation,
  type ReviewAnswer,
} from './admission-review.ts';
import { evaluatePod, type EligibilityRules } from './eligibility.ts';
import { withoutInjection } from './original-pod.ts';
import { inject, patchBetween, type PatchOptions } from './pod-patch.ts';
import { readRewritten } from './probe-rewriting.ts';
import { refusePod, type PodRefusal } from './refusal.ts';

export type InjectionOutcome =
  | { readonly kind: 'injected'; readonly patch: readonly PatchOperation[]; readonly capture: string }
  | { readonly kind: 'skipped'; readonly reason: 'opted_out' | 'excluded_namespace' }
  | PodRefusal;

export type InjectionOptions = { readonly rules: EligibilityRules; readonly patch: PatchOptions };

/**
 * Whether this is the first call of the webhook in a pod's admission, or a reinvocation because later
 * admission steps changed the pod. At the first call, nothing in the pod is ours, whatever its name: the
 * pod's author may have put it there.
 */
export type Invocation = 'first' | 'again';

/**
 * Decides what happens to a pod. A pure function, except for the randomness of new probe paths. Admitting the
 * result again changes nothing.
 */
export function decideInjection(
  admission: Admission,
  options: InjectionOptions,
  invocation: Invocation = 'first',
): InjectionOutcome {
  const original = withoutInjection(admission.pod);
  const eligibility = evaluatePod({ ...admission, pod: original }, options.rules);
  if (eligibility.kind !== 'eligible') return eligibility;
  try {
    const after = inject(
      original,
      {
        ...eligibility,
        earlier: readRewritten(admission.pod),
        found: invocation === 'again' ? admission.pod : undefined,
      },
      options.patch,
    );
    return {
      kind: 'injected',
      patch: patchBetween(admission.pod, after),
      capture: eligibility.settings.capture,
    };
  } catch (thrown) {
    // The pod's annotations ask for something that can't be configured in Envoy.
    if (thrown instanceof Fault && thrown.code === 'ERR_CONFIG_INVALID')
      return refusePod('invalid_annotation', thrown.message);
    throw thrown;
  }
}

/** The result of an admission, for the log and the metric. */
export type InjectionRecord = {
  readonly result: 'injected' | 'skipped' | 'refused';
  readonly reason: string;
  readonly message: string | undefined;
  readonly namespace: string | undefined;
  readonly pod: string | undefined;
  readonly uid: string | undefined;
};

export type InjectionRecorder = (record: InjectionRecord) => void;

/**
 * Answers an AdmissionReview. Undefined if the body has no uid, which an answer must repeat.
 * @param body parsed JSON
 * @param invocation `first`: the decision is recorded; `again`: it is recorded only if it is a refusal
 */
export function answerReview(
  body: unknown,
  options: InjectionOptions,
  record: InjectionRecorder,
  invocation: Invocation = 'first',
): ReviewAnswer | undefined {
  const parsed = parseAdmissionReview(body);
  if (parsed.kind === 'malformed') {
    const refusal = refusePod('malformed_review', parsed.message);
    record({ result: 'refused', ...refusal, namespace: undefined, pod: undefined, uid: parsed.uid });
    return parsed.uid === undefined ? undefined : denyAdmission(parsed.uid, refusal);
  }
  const { admission } = parsed;
  const outcome = decideInjection(admission, options, invocation);
  if (invocation === 'first' || outcome.kind === 'refused') record(recordOf(admission, outcome));
  switch (outcome.kind) {
    case 'injected':
      return allowAdmission(admission.uid, outcome.patch);
    case 'skipped':
      return allowAdmission(admission.uid, []);
    case 'refused':
      return denyAdmission(admission.uid, outcome);
  }
}

const recordOf = ({ pod, namespace, uid }: Admission, outcome: InjectionOutcome): InjectionRecord => ({
  result: outcome.kind,
  reason: outcome.kind === 'injected' ? outcome.capture : outcome.reason,
  message: outcome.kind === 'refused' ? outcome.message : undefined,
  namespace,
  pod: pod.metadata.name ?? pod.metadata.generateName,
  uid,
});
