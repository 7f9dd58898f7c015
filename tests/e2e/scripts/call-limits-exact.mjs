// Acceptance line 2, exactly: a recorded clip of three layers instead of a camera, a client that shows every packet instead
// of a browser. `tests/calls/limits.rs` judges content and order; the times that it prints are judged here.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { REPO } from '../lib/paths.mjs';
import { Results, median } from '../lib/results.mjs';

const DOWN_MAX_MS = 5000;
const UP_MAX_MS = 10_000;
const FREEZE_MAX_MS = 1000;
/** As many as the test plays for each case. */
const ROUNDS = 5;
const CASES = [{ what: 'without loss', loss: 0 }, { what: 'with 5 % loss', loss: 5 }];
const COMMAND = ['test', '--release', '--locked', '--test', 'calls', 'limits::timed', '--', '--ignored', '--nocapture', '--test-threads', '1'];

const results = new Results('call-limits-exact', 'A viewer behind 300 kbit/s gets the low layer within 5 s and the top one back within 10 s, with no freeze above 1 s, while another keeps the top layer without a missing packet; every picture is the clip’s, byte for byte.');
await results.during(async () => {
  results.figure('test', `cargo ${COMMAND.join(' ')}`);
  const { rounds, code } = await play();
  results.check('every picture, order, sequence number and layer is right, and the other viewer misses nothing', code === 0, { exit_code: code });
  for (const { what, loss } of CASES) judge(what, rounds.filter(({ loss_percent }) => loss_percent === loss));
});
process.exit();

/** Runs the test; it prints a line of JSON for each round. */
async function play() {
  const cargo = spawn('cargo', COMMAND, { cwd: REPO, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => cargo.on('error', reject).on('close', resolve));
  const rounds = [];
  for await (const line of createInterface({ input: cargo.stdout })) {
    console.log(line);
    // The harness prints the test's name in front of the first.
    const json = line.slice(line.indexOf('{'));
    if (json.startsWith('{"')) rounds.push(JSON.parse(json));
  }
  return { rounds, code: await ended };
}

function judge(what, rounds) {
  const within = (says, key, max) => {
    const all_ms = rounds.map((round) => round[key]);
    results.check(`${what}${says}`, rounds.length === ROUNDS && median(all_ms) <= max, { median_ms: median(all_ms), all_ms });
  };
  within(', limited: the low layer within 5 s', 'low_ms', DOWN_MAX_MS);
  within(', the limit gone: the top layer within 10 s', 'top_ms', UP_MAX_MS);
  within(': no freeze above 1 s', 'freeze_ms', FREEZE_MAX_MS);
  within(': no freeze above 1 s for the other viewer', 'beside_freeze_ms', FREEZE_MAX_MS);
  results.figure(`${what}, rounds`, rounds);
}
