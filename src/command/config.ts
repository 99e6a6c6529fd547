import { toJsonSchema } from '@valibot/to-json-schema';
import type { GenericSchema } from 'valibot';
import { authorizerSchema } from '../config/authorizer.ts';
import { identitySchema } from '../config/identity.ts';
import { injectorSchema } from '../config/injector.ts';
import { relaySchema } from '../config/relay.ts';
import { ConfigFault, loadConfig } from '../runtime/config.ts';
import { parseCommandLine, unknownWord, usageFault, type Command } from './command.ts';

const schemas: Record<string, GenericSchema> = {
  authorizer: authorizerSchema,
  identity: identitySchema,
  relay: relaySchema,
  injector: injectorSchema,
};

export const configCommand: Command = {
  usage: ['config check PROGRAM FILE [--json]', 'config schema PROGRAM'],
  run: async (args, { print }) => {
    const parsed = parseCommandLine(args, { json: { type: 'boolean' } }, { min: 2, max: 3 });
    const [verb, program = '', file] = parsed.positionals;
    const schema = Object.hasOwn(schemas, program) ? schemas[program] : undefined;
    if (schema === undefined) throw unknownWord(`no such program: ${program}`, Object.keys(schemas));
    if (verb === 'schema' && file === undefined) {
      print(JSON.stringify(jsonSchema(schema), null, 2));
      return 0;
    }
    if (verb !== 'check' || file === undefined)
      throw usageFault('use config check PROGRAM FILE, or config schema PROGRAM');
    return check(schema, file, parsed.values['json'] === true, print);
  },
};

function check(schema: GenericSchema, file: string, asJson: boolean, print: (line: string) => void): number {
  try {
    loadConfig({ schema, file });
  } catch (thrown) {
    if (!asJson || !(thrown instanceof ConfigFault)) throw thrown;
    print(JSON.stringify({ valid: false, problems: thrown.problems }));
    return 2;
  }
  print(asJson ? JSON.stringify({ valid: true, problems: [] }) : `${file} is valid`);
  return 0;
}

// JSON Schema has the shape, the names and the defaults of a schema, but not its checks and transforms.
const jsonSchema = (schema: GenericSchema): unknown =>
  toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' });
