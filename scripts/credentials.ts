import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The credentials that the tests use, which must not be in any output: one per line, written by the tests.
 */
const plantedFile = 'credentials.txt';
const notOutput = new Set([plantedFile]);

// A compact JWS whose header and payload are JSON objects (`{"` is `eyJ` in base64url).
const compactJws = /eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}/;
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----|"d":\s*"[\w-]{20,}"/;

const prefixLength = 8;

export type Findings = {
  files: number;
  bytes: number;
  planted: number;
  found: { file: string; what: string }[];
};

/**
 * Searches every file below a folder for the credentials that the tests used, and for anything that looks
 * like one.
 */
export function findCredentials(folder: string): Findings {
  const planted = readPlanted(join(folder, plantedFile));
  const search = searchFor(planted);
  const findings: Findings = { files: 0, bytes: 0, planted: planted.length, found: [] };
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !notOutput.has(name),
  );
  for (const name of names) {
    const file = join(folder, name);
    if (!statSync(file).isFile()) continue;
    const text = readFileSync(file, 'utf8');
    findings.files += 1;
    findings.bytes += text.length;
    if (compactJws.test(text)) findings.found.push({ file: name, what: 'a JWT' });
    if (privateKey.test(text)) findings.found.push({ file: name, what: 'a private key' });
    for (const what of search(text)) findings.found.push({ file: name, what });
  }
  return findings;
}

function readPlanted(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return [...new Set(lines.filter((line) => line.length >= prefixLength))];
  } catch {
    return [];
  }
}

/**
 * Searches for thousands of texts in one pass: the next eight characters at each position select the
 * candidates.
 */
function searchFor(planted: readonly string[]): (text: string) => Set<string> {
  const byPrefix = Map.groupBy(planted.entries(), ([, secret]) => secret.slice(0, prefixLength));
  return (text) => {
    const found = new Set<string>();
    for (let at = 0; at + prefixLength <= text.length; at += 1) {
      for (const [index, secret] of byPrefix.get(text.slice(at, at + prefixLength)) ?? []) {
        if (text.startsWith(secret, at)) found.add(`credential ${index + 1} of the tests`);
      }
    }
    return found;
  };
}
