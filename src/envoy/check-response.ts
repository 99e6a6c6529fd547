import { grpcStatus } from '../grpc/grpc-status.ts';
import type { CheckRequest } from '../check/check-request.ts';
import type { Allow, Decision, Deny, HeaderValue, TokenMetadata } from '../check/decision.ts';
import { createDeniedAnswer, type DeniedAnswer, type DeniedOptions } from './denied-answer.ts';
import type { HeaderValueOption } from './generated/envoy/config/core/v3/HeaderValueOption.ts';
import type { CheckResponse } from './generated/envoy/service/auth/v3/CheckResponse.ts';
import type { Struct } from './generated/google/protobuf/Struct.ts';
import type { Value } from './generated/google/protobuf/Value.ts';

export type Mode = 'enforce' | 'shadow';

export type ResponderOptions = {
  readonly denied: DeniedOptions;
  /**
   * `shadow`: a denied request passes, without an identity and without the reserved headers that the client
   * sent.
   */
  readonly mode: Mode;
  /** Whether the response to an allowed request has dynamic metadata; default true. */
  readonly metadata?: boolean;
};

export type Responder = (decision: Decision, request: CheckRequest | undefined) => CheckResponse;

/**
 * Builds every `CheckResponse`. Status code and body are set together, so that they can't disagree: Envoy
 * reads the status code alone, and would let a request pass that has OK with a denied body.
 * @see envoy/service/auth/v3/external_auth.proto
 */
export function createResponder(options: ResponderOptions): Responder {
  const deniedAnswer = createDeniedAnswer(options.denied);
  return (decision, request) => {
    switch (decision.kind) {
      case 'allow':
        return allowed(decision, options.metadata !== false);
      case 'deny':
        return options.mode === 'shadow'
          ? passedInShadow(decision)
          : denied(decision, deniedAnswer(decision, request));
    }
  };
}

function allowed({ upstream, remove }: Allow, withMetadata: boolean): CheckResponse {
  return {
    status: { code: grpcStatus.ok },
    okResponse: { headers: upstream.set.map(overwriting), headersToRemove: [...remove] },
    ...(withMetadata && {
      dynamicMetadata: curfew({ decision: text('allow'), ...tokenFields(upstream.metadata) }),
    }),
  };
}

function passedInShadow({ reason, remove }: Deny): CheckResponse {
  return {
    status: { code: grpcStatus.ok },
    okResponse: { headersToRemove: [...remove] },
    dynamicMetadata: curfew({ decision: text('deny'), reason: text(reason), mode: text('shadow') }),
  };
}

function denied({ reason }: Deny, answer: DeniedAnswer): CheckResponse {
  return {
    status: { code: answer.grpcStatus, message: reason },
    deniedResponse: {
      // Envoy's enum of status codes has every status of the table of reasons.
      status: { code: answer.httpStatus as 401 },
      headers: answer.headers.map(overwriting),
      body: answer.body,
    },
    dynamicMetadata: curfew({ decision: text('deny'), reason: text(reason) }),
  };
}

const overwriting = ([key, value]: HeaderValue): HeaderValueOption => ({
  header: { key, value },
  appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
});

const text = (value: string): Value => ({ stringValue: value });

/**
 * Envoy reads it as `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:curfew:…)%`, and RBAC and rate limits can
 * match it.
 */
const curfew = (fields: Record<string, Value>): Struct => ({
  fields: { curfew: { structValue: { fields } } },
});

function tokenFields(metadata: TokenMetadata | undefined): Record<string, Value> {
  if (metadata === undefined) return {};
  const { sub, session, iss, scopes, exp } = metadata;
  return {
    sub: text(sub),
    ...(session === undefined ? {} : { session: text(session) }),
    iss: text(iss),
    scopes: { listValue: { values: scopes.map(text) } },
    exp: { numberValue: exp },
  };
}
