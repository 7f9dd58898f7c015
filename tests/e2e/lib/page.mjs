// The tables of docs/performance.md: what stands between two marks is replaced, the prose around them is written by hand.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { REPO } from './paths.mjs';

/** A table whose first column is words and whose others are figures. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i ? '---:' : '---'))), ...rows.map(line)].join('\n');
}

/** Writes `text` between the marks called `mark`, under a line that says when and where `result` was measured. */
export function fillPage(mark, result, text) {
  const page = path.join(REPO, 'docs/performance.md');
  const { date, machine, commit } = JSON.parse(readFileSync(path.join(REPO, `docs/results/${result}.json`), 'utf8'));
  const dirty = commit.uncommitted_changes ? ' with uncommitted changes' : '';
  const where = `Measured ${date.slice(0, 10)} on ${machine.cores} cores (${machine.cpu}), ${machine.system}, commit \`${commit.hash?.slice(0, 12)}\`${dirty}.`;
  const old = readFileSync(page, 'utf8');
  writeFileSync(page, old.replace(new RegExp(`(<!-- ${mark} begins -->)[\\s\\S]*(<!-- ${mark} ends -->)`), `$1\n\n${where}\n${text}\n$2`));
}
