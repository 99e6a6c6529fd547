import * as v from 'valibot';

/** A problem at one place of a configuration. */
export type Problem = {
  readonly path: readonly [string, ...(string | number)[]];
  readonly message: string;
};

/** A check of a whole configuration that reports each problem at its own path. */
export const problemsIn = <Value>(find: (value: Value) => readonly Problem[]) =>
  v.rawCheck<Value>(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const { path, message } of find(dataset.value)) {
      const [first, ...rest] = path;
      addIssue({ message, path: [pathItem(first), ...rest.map((key) => pathItem(key))] });
    }
  });

/** A step of the path to a problem, in valibot's form. */
export const pathItem = (key: unknown, input?: unknown): v.IssuePathItem => ({
  type: 'unknown',
  origin: 'value',
  input,
  key,
  value: undefined,
});
