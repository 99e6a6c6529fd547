import { isUtf8 } from 'node:buffer';
import { parseJsonObject, type JsonParse } from '../token/strict-json.ts';

/** The JSON object of a body, by the rules tokens are read by. */
export const parseJsonBody = (body: Buffer): JsonParse =>
  isUtf8(body) ? parseJsonObject(body.toString('utf8')) : { kind: 'invalid', problem: 'not UTF-8' };
