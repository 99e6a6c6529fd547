import { Fault } from '../runtime/fault.ts';
import type { HeaderValueOption } from './generated/envoy/config/core/v3/HeaderValueOption.ts';
import type { CheckResponse } from './generated/envoy/service/auth/v3/CheckResponse.ts';
import type { DeniedHttpResponse } from './generated/envoy/service/auth/v3/DeniedHttpResponse.ts';
import type { OkHttpResponse } from './generated/envoy/service/auth/v3/OkHttpResponse.ts';
import type { Struct } from './generated/google/protobuf/Struct.ts';
import type { Value } from './generated/google/protobuf/Value.ts';
import type { Status } from './generated/google/rpc/Status.ts';
import { doubleField, messageField, numberField, textField } from '../protobuf/wire-writer.ts';

/**
 * Encodes a `CheckResponse`. It supports only the fields that our responses have; a general encoder would
 * take memory for all others.
 * @throws ERR_INTERNAL for any other field
 * @see envoy/service/auth/v3/external_auth.proto
 */
export function encodeCheckResponse(response: CheckResponse): Buffer {
  onlyWith(response, ['status', 'deniedResponse', 'okResponse', 'dynamicMetadata']);
  const { status, deniedResponse, okResponse, dynamicMetadata } = response;
  return Buffer.concat([
    ...given(status, (value) => messageField(1, statusFields(value))),
    ...given(deniedResponse, (value) => messageField(2, deniedFields(value))),
    ...given(okResponse, (value) => messageField(3, okFields(value))),
    ...given(dynamicMetadata, (value) => messageField(4, structFields(value))),
  ]);
}

function statusFields(status: Status): Buffer[] {
  onlyWith(status, ['code', 'message']);
  return [
    ...given(status.code, (code) => numberField(1, code)),
    ...given(status.message, (message) => textField(2, message)),
  ];
}

function deniedFields(denied: DeniedHttpResponse): Buffer[] {
  onlyWith(denied, ['status', 'headers', 'body']);
  return [
    ...given(denied.status?.code, (code) => messageField(1, [numberField(1, numeric(code))])),
    ...(denied.headers ?? []).map((header) => messageField(2, headerFields(header))),
    ...given(denied.body, (body) => textField(3, body)),
  ];
}

function okFields(ok: OkHttpResponse): Buffer[] {
  onlyWith(ok, ['headers', 'headersToRemove']);
  return [
    ...(ok.headers ?? []).map((header) => messageField(2, headerFields(header))),
    ...(ok.headersToRemove ?? []).map((name) => textField(5, name)),
  ];
}

function headerFields(option: HeaderValueOption): Buffer[] {
  onlyWith(option, ['header', 'appendAction']);
  const { header, appendAction } = option;
  onlyWith(header ?? {}, ['key', 'value']);
  if (appendAction !== 'OVERWRITE_IF_EXISTS_OR_ADD') throw unknown('appendAction', String(appendAction));
  return [
    messageField(1, [
      ...given(header?.key, (key) => textField(1, key)),
      ...given(header?.value, (value) => textField(2, value)),
    ]),
    numberField(3, 2),
  ];
}

/** On the wire each entry of the map is a message with a key and a value. */
function structFields({ fields }: Struct): Buffer[] {
  return Object.entries(fields ?? {}).map(([name, value]) =>
    messageField(1, [textField(1, name), messageField(2, [valueField(value)])]),
  );
}

function valueField(value: Value): Buffer {
  onlyWith(value, ['numberValue', 'stringValue', 'structValue', 'listValue']);
  const { numberValue, stringValue, structValue, listValue } = value;
  if (stringValue !== undefined) return textField(3, stringValue);
  if (typeof numberValue === 'number') return doubleField(2, numberValue);
  if (structValue !== undefined && structValue !== null) return messageField(5, structFields(structValue));
  const values = (listValue?.values ?? []).map((item) => messageField(1, [valueField(item)]));
  return messageField(6, values);
}

function given<T>(value: T | null | undefined, encode: (value: T) => Buffer): Buffer[] {
  return value === undefined || value === null ? [] : [encode(value)];
}

function numeric(value: unknown): number {
  if (typeof value !== 'number') throw unknown('code', String(value));
  return value;
}

function onlyWith(message: object, names: readonly string[]): void {
  for (const name of Object.keys(message)) if (!names.includes(name)) throw unknown(name, 'a value');
}

const unknown = (field: string, found: string): Fault =>
  new Fault('ERR_INTERNAL', `no encoding for ${found} in the field ${field} of a response`);
