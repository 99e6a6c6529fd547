import * as v from 'valibot';
import { podSchema, type Pod } from './pod.ts';
import type { PodRefusal } from './refusal.ts';

/** A pod that is about to be created. */
export type Admission = {
  readonly uid: string;
  readonly namespace: string;
  readonly pod: Pod;
};

export type ParsedReview =
  | { readonly kind: 'admission'; readonly admission: Admission }
  | { readonly kind: 'malformed'; readonly uid: string | undefined; readonly message: string };

/** Operations of RFC 6902. `add` replaces a member that exists. */
export type PatchOperation =
  | { readonly op: 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

const uid = v.pipe(v.string(), v.minLength(1), v.maxLength(128));

const reviewSchema = v.looseObject({
  apiVersion: v.literal('admission.k8s.io/v1'),
  kind: v.literal('AdmissionReview'),
  request: v.looseObject({
    uid,
    kind: v.looseObject({
      group: v.optional(v.literal('')),
      version: v.literal('v1'),
      kind: v.literal('Pod'),
    }),
    operation: v.literal('CREATE'),
    namespace: v.pipe(v.string(), v.minLength(1), v.maxLength(63)),
    object: podSchema,
  }),
});

const anyReview = v.looseObject({ request: v.looseObject({ uid }) });

/** Reads an AdmissionReview of `admission.k8s.io/v1` for the creation of a pod. */
export function parseAdmissionReview(body: unknown): ParsedReview {
  const parsed = v.safeParse(reviewSchema, body);
  if (parsed.success) {
    const { request } = parsed.output;
    return {
      kind: 'admission',
      admission: { uid: request.uid, namespace: request.namespace, pod: request.object },
    };
  }
  const [issue] = parsed.issues;
  const path = (issue.path ?? []).map(({ key }) => String(key)).join('.');
  const known = v.safeParse(anyReview, body);
  return {
    kind: 'malformed',
    uid: known.success ? known.output.request.uid : undefined,
    message: `not an AdmissionReview of admission.k8s.io/v1 for the creation of a pod: ${path || 'body'} must be ${issue.expected ?? 'valid'}`,
  };
}

/** The answer to the API server. */
export type ReviewAnswer = {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: Readonly<Record<string, unknown>>;
};

const answer = (response: Readonly<Record<string, unknown>>): ReviewAnswer => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  response,
});

/** Allows the creation of the pod, with the patch applied. */
export function allowAdmission(
  reviewUid: string,
  patch: readonly PatchOperation[],
  warnings: readonly string[] = [],
): ReviewAnswer {
  return answer({
    uid: reviewUid,
    allowed: true,
    ...(patch.length > 0 && {
      patchType: 'JSONPatch',
      patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
    }),
    ...(warnings.length > 0 && { warnings }),
  });
}

/**
 * Refuses the creation of the pod. The API server shows the message to the client that wanted to create it.
 */
export const denyAdmission = (reviewUid: string, { reason, message }: PodRefusal): ReviewAnswer =>
  answer({
    uid: reviewUid,
    allowed: false,
    status: {
      status: 'Failure',
      code: reason === 'internal_error' ? 500 : reason === 'malformed_review' ? 400 : 403,
      reason: reason === 'internal_error' ? 'InternalError' : 'Forbidden',
      message: `curfew: ${reason}: ${message}`,
    },
  });
