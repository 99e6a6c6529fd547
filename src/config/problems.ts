import * as v from 'valibot';

/** What is wrong at a place of a configuration. */
export type Problem = {
  readonly path: readonly [string, ...(string | number)[]];
  readonly message: string;
};

/** Checks of a whole configuration, each of which names its place. */
export const problemsIn = <Value>(find: (value: Value) => readonly Problem[]) =>
  v.rawCheck<Value>(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const { path, message } of find(dataset.value)) {
      const [first, ...rest] = path;
      addIssue({ message, path: [step(first), ...rest.map(step)] });
    }
  });

const step = (key: string | number): v.IssuePathItem => ({
  type: 'unknown',
  origin: 'value',
  input: undefined,
  key,
  value: undefined,
});
