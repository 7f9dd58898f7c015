// The short path of a call for `make test`: two Chromiums come with an account and an invite, and see and hear each
// other. It judges that it works, never how fast.

import { openChromium } from '../lib/browsers.mjs';
import { Caller } from '../lib/calling.mjs';
import { until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

/** Long enough for a debug build on a machine that is compiling something else. */
const PATIENCE_MS = 90_000;

const results = new Results('short-call', 'Two browsers in a call see and hear each other.');
const server = await Telstar.launch();
const browser = await openChromium({ camera: true });
const guests = await openChromium({ camera: true });
try {
  const invite = await server.api('POST', '/api/v1/rooms/demo/invites', {});
  server.keepSecret(invite.invite);
  const link = await server.signInLink();
  const ada = new Caller(await browser.page(), 'Ada');
  await ada.page.goto(link);
  await until('the sign-in', PATIENCE_MS, () => ada.page.evaluate(() => location.pathname === '/'));
  await ada.open(`${new URL(link).origin}/call/demo`);
  const bob = new Caller(await guests.page(), 'Bob');
  await bob.open(`${server.http}/call/demo#invite=${invite.invite}`);
  await ada.join();
  await bob.join();
  await Promise.all([ada.seesAndHears(1, PATIENCE_MS), bob.seesAndHears(1, PATIENCE_MS)]);
  results.check('both see and hear the other', true);
  await bob.press('leave');
  await ada.untilParticipants(0, PATIENCE_MS);
  results.check('who leaves is gone', true);
} catch (error) {
  console.error(error);
  results.check('the script ran to its end', false, { error: String(error.message ?? error).slice(0, 2000) });
} finally {
  await browser.close();
  await guests.close();
  await server.stop();
}
results.finish({ write: false });
