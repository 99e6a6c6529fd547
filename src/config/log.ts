import * as v from 'valibot';

export const logLevel = v.optional(v.picklist(['debug', 'info', 'warn', 'error']), 'info');

/** `log` of a program that only has a level to configure. */
export const log = v.optional(v.strictObject({ level: logLevel }), {});
