import { toJsonSchema } from '@valibot/to-json-schema';
import type { GenericSchema } from 'valibot';
import { adminScopes } from '../../vocabulary/admin-scopes.ts';
import { problem } from './messages.ts';
import { operations, type Operation } from './operations.ts';

const schemaOf = (schema: GenericSchema): Record<string, unknown> => {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    typeMode: 'input',
    errorMode: 'ignore',
    target: 'draft-2020-12',
  });
  return rest;
};

/** The OpenAPI 3.1 document of the administration API. */
export function openApiDocument(issuer: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [name, operation] of Object.entries(operations) as [string, Operation][])
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method.toLowerCase()]: operationOf(name, operation),
    };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Curfew administration',
      version: '1',
      description: 'Sessions, keys and revocations of one identity, and who did what to them.',
    },
    servers: [{ url: issuer }],
    paths,
    components: {
      schemas: { Problem: schemaOf(problem) },
      securitySchemes: {
        client: {
          type: 'oauth2',
          flows: {
            clientCredentials: {
              tokenUrl: `${issuer}/token`,
              scopes: Object.fromEntries(adminScopes.map((scope) => [scope, scope])),
            },
          },
        },
      },
    },
  };
}

function operationOf(operationId: string, operation: Operation): Record<string, unknown> {
  const { summary, scopes, query, body, status, answer } = operation;
  const refusals = ['400', '401', '403', '413', '503'].map((code) => [code, { $ref: problemRef }] as const);
  return {
    operationId,
    summary,
    security: scopes.map((scope) => ({ client: [scope] })),
    ...(query === undefined ? {} : { parameters: parametersOf(query) }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body) } } } }),
    responses: {
      [String(status)]: {
        description: 'Done.',
        content: { 'application/json': { schema: schemaOf(answer) } },
      },
      ...Object.fromEntries(
        refusals.map(([code, schema]) => [
          code,
          { description: 'Refused.', content: { 'application/problem+json': { schema } } },
        ]),
      ),
    },
  };
}

const problemRef = '#/components/schemas/Problem';

function parametersOf(query: GenericSchema): unknown[] {
  const { properties = {} } = schemaOf(query) as { properties?: Record<string, unknown> };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}
