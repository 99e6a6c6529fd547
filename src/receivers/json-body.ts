import { isUtf8 } from 'node:buffer';
import { parseJsonObject, type JsonParse } from '../token/strict-json.ts';

/** The JSON object of a body, parsed as strictly as the JSON of tokens. */
export const parseJsonBody = (body: Buffer): JsonParse =>
  isUtf8(body) ? parseJsonObject(body.toString('utf8')) : { kind: 'invalid', problem: 'not UTF-8' };
