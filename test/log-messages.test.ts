import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sourceFiles } from '../scripts/check-imports.ts';
import { logCalls, logCallsIn, logMessagePage, logMessages, pageFile } from '../scripts/log-messages.ts';

const files = sourceFiles();
const messages = logMessages(files);
const texts = messages.map(({ message }) => message);

/** Names that begin with a capital letter wherever they stand. */
const properName = /^(?:Envoy|HTTP|JWKS|Maglev|Node|OpenID|PostgreSQL|Redis|SQLite|TLS|TurboFan|V8|Valkey)\b/;

/** One expression for one thing. */
const vocabulary: readonly (readonly [expression: string, others: RegExp])[] = [
  ['listening', /\blistens\b|\bis listening\b|\blistening (?:now|again)\b|\bbound to\b/],
  ['ready', /\bis ready\b|\b(?:is|are) up\b|\bcame up\b|\bup and running\b/],
  ['stopping, stopped', /\bshut(?:ting)? ?down\b|\bterminat(?:ed|ing)\b|\bexit(?:ed|ing)\b/],
  ['reloaded', /\b(?:read|loaded) again\b|\bre-?read\b|\brefreshed\b/],
  ['lost connection to …', /\bconnection (?:is )?(?:lost|gone)\b|\bdisconnected\b/],
  ['connected to …', /\bconnection (?:was )?(?:established|made)\b/],
  ['aborted, closed', /\bbroken off\b|\bcut off\b/],
  ['deleted or evicted, cached', /\bforgotten\b|\bremembered\b/],
  [
    'plain words',
    /\bwhoever\b|\banew\b|\btold\b|\bjudged?\b|\bstrikes?\b|\boctets?\b|\bmade up for\b|\bthe former\b/,
  ],
];

describe('the messages of the logs', () => {
  it('are constant, so that operators can search for them: values are in fields', () => {
    const calls = logCalls(files);
    expect(calls.length).toBeGreaterThan(100);
    expect(calls.filter((call) => call.messages.length === 0).map(({ place }) => place)).toEqual([]);
  });

  it('have a level', () => {
    expect(logCalls(files).filter(({ levels }) => levels.length === 0)).toEqual([]);
  });

  it('begin in lower case, unless with a name', () => {
    expect(texts.filter((text) => !/^[a-z`]/.test(text) && !properName.test(text))).toEqual([]);
  });

  it('are one line without a mark at the end or spaces around it', () => {
    expect(texts.filter((text) => /[.!?:;,\s]$|^\s|\n/.test(text))).toEqual([]);
  });

  it('differ by more than articles, case and punctuation', () => {
    const plain = (text: string): string =>
      text
        .toLowerCase()
        .replaceAll(/\b(?:a|an|the|is|are|was|were)\b/g, '')
        .replaceAll(/\W/g, '');
    const alike = [...Map.groupBy(texts, plain).values()].filter((group) => group.length > 1);
    expect(alike).toEqual([]);
  });

  it.each(vocabulary)('say "%s", and nothing else for the same thing', (_, others) => {
    expect(texts.filter((text) => others.test(text))).toEqual([]);
  });

  it('are all in docs/log-messages.md: `node scripts/setup.mjs scripts/log-messages.ts` writes it', () => {
    expect(readFileSync(pageFile(), 'utf8')).toBe(logMessagePage(messages));
  });
});

describe('the search for log messages', () => {
  const messagesIn = (text: string) => logCallsIn('a.ts', text).map((call) => call.messages);

  it.each([
    ['a literal', "this.#log.info('stopping', { signal });"],
    ['a literal on a line of its own', "log.info(\n  'stopping',\n  { signal },\n);"],
    ['a constant of the file', "const text = 'stopping';\nlog.info(text);"],
  ])('reads %s', (_, text) => {
    expect(messagesIn(text)).toEqual([['stopping']]);
  });

  it.each([
    ['a choice of two', "log.warn(isOne ? 'one' : 'other', { err });"],
    ['a constant that is a choice', "const text = isOne ? 'one' : 'other';\nlog.warn(text);"],
    [
      'a table of the file',
      "const texts = {\n  one: 'one',\n  other: 'other',\n} as const;\nlog.warn(texts[which], {});",
    ],
  ])('reads %s', (_, text) => {
    expect(messagesIn(text)).toEqual([['one', 'other']]);
  });

  it.each([
    'log.info(`pod ${result}`, fields);',
    "log.warn('pod ' + result);",
    'log.error(describe(thrown), fields);',
    'log.error(thrown.message);',
    'log.info(unknown);',
  ])('takes %s for a message that is not constant', (text) => {
    expect(messagesIn(text)).toEqual([[]]);
  });

  it('reads the levels of a call that chooses one', () => {
    expect(
      logCallsIn(
        'a.ts',
        "const level = isOver ? 'debug' : 'error';\nlog[level]('one');\nlog[isOver ? 'info' : 'warn']('two');",
      ).map(({ place, levels }) => ({ place, levels })),
    ).toEqual([
      { place: 'a.ts:2', levels: ['debug', 'error'] },
      { place: 'a.ts:3', levels: ['info', 'warn'] },
    ]);
  });

  it('names the programs that load the file, but not those that import its types alone', () => {
    const source = new Map([
      ['programs/relay.ts', "import { a } from '../check/a.ts';"],
      ['programs/identity.ts', "import type { A } from '../check/a.ts';"],
      ['check/a.ts', "import './b.ts';"],
      ['check/b.ts', "log.info('one');"],
    ]);
    expect(logMessages(source)).toEqual([
      { message: 'one', levels: ['info'], programs: ['relay'], files: ['check/b.ts'] },
    ]);
  });
});
