/** Every reason to refuse a pod: the name in the answer, the log and the metric. */
export const refusalReasons = [
  'host_network',
  'windows',
  'mesh_sidecar_present',
  'no_http_port',
  'not_plain_http',
  'unnamed_target_port',
  'no_network_policy',
  'reserved_port',
  'unknown_port',
  'too_many_ports',
  'reserved_name',
  'invalid_annotation',
  'malformed_review',
  'internal_error',
] as const;

export type RefusalReason = (typeof refusalReasons)[number];

/** The refusal of a pod. The message says to the pod's author what to do. */
export type PodRefusal = {
  readonly kind: 'refused';
  readonly reason: RefusalReason;
  readonly message: string;
};

export const refusePod = (reason: RefusalReason, message: string): PodRefusal => ({
  kind: 'refused',
  reason,
  message,
});
