// Shows that the model test finds mistakes. For each mistake in a list, it edits a copy of the protocol's
// source and runs the model on the copy until the model finds the mistake.
//
//   node scripts/mutants.ts [--runs 10000] [--only WORD] [--seed N]
//   node scripts/mutants.ts --check        only checks that each edit still matches the source
//
// Exit 0 if every mistake was found.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

type Edit = { readonly file: string; readonly from: string; readonly to: string };
type Mutant = { readonly name: string; readonly edits: readonly Edit[] };

const root = join(import.meta.dirname, '..');
const copied = ['src', 'test/revocation/model'];

const view = 'src/revocation/view.ts';
const completeness = 'src/revocation/completeness.ts';
const tokenRule = 'src/revocation/exposure-rule.ts';
const intake = 'src/revocation/intake.ts';
const eventFormat = 'src/revocation-log/event.ts';
const connectionPatience = 'src/revocation/connection-patience.ts';
const revocationList = 'src/revocation/revocation-list.ts';
const issuerRevocations = 'src/revocation/issuer-revocations.ts';
const leader = 'src/publisher/leader.ts';
const leaderOptions = 'src/publisher/leader-options.ts';
const epochWriter = 'src/publisher/epoch-writer.ts';
const epochSeeder = 'src/publisher/epoch-seeder.ts';
const trimQueue = 'src/publisher/trim-queue.ts';
// The model's version of the Lua scripts. `log-scripts.test.ts` compares both.
const modelRedis = 'test/revocation/model/redis-state.ts';
const modelIssuer = 'test/revocation/model/issuer.ts';

const mutant = (
  name: string,
  ...edits: readonly (readonly [file: string, from: string, to: string])[]
): Mutant => ({
  name,
  edits: edits.map(([file, from, to]) => ({ file, from, to })),
});

const mutants: readonly Mutant[] = [
  mutant('a drain counts without the lease', [
    leader,
    "if ('rows' in reply && (",
    "if ('rows' in reply && false && (",
  ]),
  mutant('a lost answer causes another drain', [
    epochWriter,
    "      case 'append':\n        return this.#batch &&",
    "      case 'append':\n        this.#step = 'drain';\n        return this.#batch &&",
  ]),
  mutant('completeness advances on a probe that finds unread entries', [
    view,
    '    if (head.seq > held.applied) {',
    "    this.#completeness.completeUntil(head.truth === 'redis' ? probe.startedAt : proven);\n    if (head.seq > held.applied) {",
  ]),
  mutant('the switch does not count the entries of the set', [
    modelRedis,
    "  if (state.logs.get(call.epoch)?.length !== call.count + 1) return refused(state, 'count');\n",
    '',
  ]),
  mutant(
    'the newest entry is trimmed',
    [trimQueue, '    below = Math.min(below, call.seq + call.added + taken.length);\n', ''],
    [modelRedis, " && below <= count(next, 'seq')", ''],
  ),
  mutant(
    'the lease is renewed without Redis',
    [leaderOptions, "kind === 'mark'", "kind === 'mark' || kind === 'renew'"],
    [leader, 'if (this.#hasRedis && nowMs - lead.renewedMs', 'if (nowMs - lead.renewedMs'],
  ),
  mutant(
    'a difference of one beat is proof enough',
    [
      completeness,
      'findLast(({ beat }) => beat <= head.beat - 2)',
      'findLast(({ beat }) => beat <= head.beat - 1)',
    ],
    [completeness, '(observation.beat > head.beat - 2 &&', '(observation.beat > head.beat - 1 &&'],
  ),
  mutant(
    'observations are kept after a reconnect',
    [
      view,
      '    this.#probeAgain = false;\n    this.#completeness.discardObservations();\n',
      '    this.#probeAgain = false;\n',
    ],
    [view, '    this.#completeness.setSource(source);\n', ''],
    [completeness, '    if (!isSame) this.#observations = [];\n', ''],
    [completeness, 'return isSame;', 'return isMaster;'],
  ),
  mutant(
    'another data set under the same connection is not detected',
    [completeness, '    if (!isSame) this.#observations = [];\n', ''],
    [completeness, 'return isSame;', 'return isMaster;'],
  ),
  mutant(
    'a replica of Redis is followed like a master',
    [view, '    if (!source.isMaster) return this.#leaveReplica();\n', ''],
    [completeness, 'isMaster && id === this.#sourceId', 'id === this.#sourceId'],
    [completeness, 'isMaster ? id : undefined', 'id'],
  ),
  mutant('the leader continues to write a log that is not as it left it', [
    epochWriter,
    "    if (reply.status !== 'ok') return { kind: 'refused', ...reply };\n",
    "    if (reply.status !== 'ok') {\n      this.#seq = reply.seq;\n      this.#beat = reply.beat;\n      this.#step = 'drain';\n      return more;\n    }\n",
  ]),
  mutant('missing entries are not read', [
    view,
    '    if (head.seq > held.applied) {',
    '    held.applied = Math.max(held.applied, head.seq);\n    if (head.seq > held.applied) {',
  ]),
  mutant('a message after a gap is applied as if there were no gap', [
    view,
    'if (isHeld && message.firstSeq <= held.applied + 1) {',
    'if (isHeld) {',
  ]),
  mutant('an epoch is visible before its seed is complete', [
    epochSeeder,
    'this.#isLastPage = page.rows.length < this.#size;',
    'this.#isLastPage = true;',
  ]),
  mutant(
    'a replica without the lease writes',
    [leader, "    if ('taken' in reply) {", '    {'],
    [
      leader,
      'this.#lead = { epoch: reply.taken, isSpent',
      "this.#lead = { epoch: 'taken' in reply ? reply.taken : reply.held.epoch, isSpent",
    ],
    [
      leader,
      '    const { epoch, renewals } = reply.held;',
      "    if ('taken' in reply) return;\n    const { epoch, renewals } = reply.held;",
    ],
    [
      leader,
      '(reply.holder !== this.#options.holder || reply.epoch !== lead.epoch)',
      'reply.epoch !== lead.epoch',
    ],
  ),
  mutant('an interrupted snapshot counts as complete', [
    view,
    "    report.resync(this.#held === undefined ? 'start' : 'epoch');\n",
    "    report.resync(this.#held === undefined ? 'start' : 'epoch');\n    const { owner, retentionSeconds, seq } = head;\n    this.#held = { owner, epoch: head.epoch, retentionSeconds, applied: seq };\n",
  ]),
  mutant('a token from the future is accepted', [
    tokenRule,
    '      if (!(issuedAt <= now + tolerance)) return unproven;\n',
    '',
  ]),
  mutant('`iat` is set after the session was read', [
    modelIssuer,
    '        readyAt: world.now + signingMs,\n',
    '        readyAt: world.now + signingMs,\n        issuedAt: Math.floor((nowMs() + signingMs) / 1000),\n        expiresAt: Math.floor((nowMs() + signingMs) / 1000) + lifetimeSeconds,\n',
  ]),
  mutant(
    'the revocation of a leaked key has a cut-off',
    [issuerRevocations, 'addStandingKey({ id, reason }', 'addStandingKey({ id, at }'],
    [issuerRevocations, 'this.#standingKeys.set(id, reason)', 'this.#standingKeys.set(id, String(at))'],
    [
      issuerRevocations,
      'if (this.#standingKeys.has(name))',
      'if (token.issuedAt <= Number(this.#standingKeys.get(name)))',
    ],
  ),
  mutant(
    'a floor depends on events of other issuers',
    [issuerRevocations, 'const emptyGeneration =', 'let newestOfAll = -Infinity;\nconst emptyGeneration ='],
    [
      issuerRevocations,
      '    const current = this.#current;\n',
      '    const current = this.#current;\n    newestOfAll = Math.max(newestOfAll, at);\n',
    ],
    [issuerRevocations, '    const { newestAt } = this.#current;\n', '    const newestAt = newestOfAll;\n'],
  ),
  mutant('a key is compared by its first name only', [
    issuerRevocations,
    'for (const name of token.keyNames)',
    'for (const name of token.keyNames.slice(0, 1))',
  ]),
  mutant('a token is compared by its first client only', [
    issuerRevocations,
    'for (const id of clientIds) {',
    'for (const id of clientIds.slice(0, 1)) {',
  ]),
  mutant('a token that was clear once is never looked up again', [
    revocationList,
    '    this.#version = {};\n',
    '',
  ]),
  mutant('a floor ends too soon', [revocationList, 'monotonicMs + this.#periodMs)', 'monotonicMs + 5000)']),
  mutant('a floor is too low', [
    issuerRevocations,
    'newestAt + raceSeconds + this.#clockToleranceSeconds',
    'newestAt',
  ]),
  mutant('entries are evicted too soon', [
    revocationList,
    'this.#periodMs = (retentionSeconds + spareSeconds + 2 * this.#maxToleranceSeconds) * 1000;',
    'this.#periodMs = 10_000;',
  ]),
  mutant('a repeated call raises the beat again', [
    modelRedis,
    "if (call.beat !== undefined && count(next, 'beat') === call.beat)\n    next = withHead(next, { beat: call.beat + 1 });",
    "if (call.beat !== undefined) next = withHead(next, { beat: count(next, 'beat') + 1 });",
  ]),
  mutant('a new epoch is followed without reading its snapshot', [
    view,
    '    if (held === undefined || this.#needsSnapshot(head)) return this.#snapshot(head);\n',
    '    if (held === undefined) return this.#snapshot(head);\n    if (held.epoch < head.epoch) held.epoch = head.epoch;\n',
  ]),
  mutant('an event of another version is ignored', [
    intake,
    '      this.#completeness.distrust(read.iss, { epoch, seq });\n',
    '',
  ]),
  mutant('an event of another version without an issuer concerns no issuer', [
    completeness,
    'this.#unreadable.has(issuer) || this.#unreadable.has(anyIssuer)',
    'this.#unreadable.has(issuer)',
  ]),
  mutant('an event whose version is a string is ignored', [
    eventFormat,
    'const malformed: ReadEvent = {',
    "if (typeof v === 'string') return { kind: 'malformed', iss: 'nobody' };\n  const malformed: ReadEvent = {",
  ]),
  mutant('an event of another version is dropped before it is trimmed', [
    completeness,
    'if (epoch === head.epoch && seq < head.trimBelow)',
    'if (epoch === head.epoch && seq < head.trimBelow + 1)',
  ]),
  mutant('an event of another version is dropped when an earlier one is trimmed', [
    completeness,
    'if (last === undefined || isBefore(last, position))',
    'if (last === undefined)',
  ]),
  mutant('an event of another version is never dropped', [
    completeness,
    'if (epoch === head.epoch && seq < head.trimBelow)',
    'if (epoch > head.epoch)',
  ]),
  mutant('an issuer that the log does not cover is proven like the others', [
    completeness,
    "    if (this.#uncovered.has(issuer)) return 'uncovered';\n",
    '',
  ]),
  mutant('one issuer without a proof keeps the view from being live', [
    completeness,
    'this.#issuers.filter((issuer) => this.#causeOf(issuer) === undefined)',
    'this.#issuers.filter(() => true)',
  ]),
  mutant(
    'one issuer without a proof closes the connection',
    [connectionPatience, 'Math.min(connectedMs, view.logStalenessMs())', 'connectedMs'],
    [connectionPatience, 'if (view.isLogLive) {', 'if (view.isLogLive && view.unproven().length === 0) {'],
    [connectionPatience, "'isLogLive' | 'logStalenessMs'", "'isLogLive' | 'logStalenessMs' | 'unproven'"],
  ),
  mutant('the lease is taken without a new epoch', [
    'test/revocation/model/database.ts',
    'this.#extend({ holder, epoch: lease.epoch + 1 });',
    'this.#extend({ holder, epoch: Math.max(1, lease.epoch) });',
  ]),
];

/** @throws if an edit doesn't match the source exactly once */
function checkAll(): void {
  for (const { edits } of mutants) {
    const sources = new Map<string, string>();
    for (const edit of edits) {
      const source = sources.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8');
      sources.set(edit.file, edited(source, edit));
    }
  }
}

type Outcome = { readonly found: boolean; readonly detail: string; readonly seconds: number };

function tryMutant({ edits }: Mutant, runs: string, seed: string | undefined): Outcome {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const copy = mkdtempSync(join(root, '.cache', 'mutant-'));
  try {
    for (const folder of copied) cpSync(join(root, folder), join(copy, folder), { recursive: true });
    writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
    for (const edit of edits) apply(join(copy, edit.file), edit);
    const started = performance.now();
    const main = join(copy, 'test/revocation/model/main.ts');
    const args = [main, '--runs', runs, '--quick', ...(seed === undefined ? [] : ['--seed', seed])];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const seconds = (performance.now() - started) / 1000;
    const violation = /^Violation: (?<what>I\d[^\n]*)/m.exec(stdout)?.groups?.['what'];
    const tests = /Property failed after (?<count>\d+) tests/.exec(stdout)?.groups?.['count'];
    if (status === 0) return { found: false, detail: stdout.trim(), seconds };
    if (violation === undefined)
      return { found: false, detail: `${stdout}${stderr}`.trim().slice(0, 600), seconds };
    return { found: true, detail: `after ${tests ?? '?'} runs: ${violation.slice(0, 110)}`, seconds };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const apply = (path: string, edit: Edit): void =>
  writeFileSync(path, edited(readFileSync(path, 'utf8'), edit));

function edited(source: string, { file, from, to }: Edit): string {
  if (source.split(from).length !== 2) throw new Error(`${file}: not exactly once: ${from}`);
  return source.replace(from, () => to);
}

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    only: { type: 'string' },
    seed: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
});
checkAll();
const chosen = mutants.filter(
  ({ name }) => !values.check && (values.only === undefined || name.includes(values.only)),
);
let missed = 0;
for (const one of chosen) {
  const { found, detail, seconds } = tryMutant(one, values.runs, values.seed);
  if (!found) missed += 1;
  console.log(`${found ? 'found ' : 'MISSED'}  ${one.name}  (${seconds.toFixed(1)} s)\n        ${detail}`);
}
console.log(`${chosen.length - missed} of ${chosen.length} mistakes found`);
process.exitCode = missed === 0 ? 0 : 1;
