// A call of two Chromiums and one Firefox by its page: they see and hear each other, mute, share a screen, leave, come
// back, are removed, and lose the socket for 30 s while the media goes on. Screenshots of each view.

import { DESKTOP, PHONE, openChromium, openFirefox } from '../lib/browsers.mjs';
import { Caller, Cut } from '../lib/calling.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

/** Acceptance: from the click on *Join* until everybody is seen and heard. */
const MEDIA_WITHIN_MS = 2_000;
/** How often Bob and Eve each join: the median is judged. */
const JOINS = 5;
const CUT_MS = Number(process.env.E2E_CALL_CUT_SECONDS ?? 30) * 1000;

const results = new Results('call', 'Two Chromiums and one Firefox in one call see and hear each other within 2 s of joining; mute, screen share, leave, rejoin, removal, and a socket cut with media going on.');
await results.during(async () => {
  const server = await Telstar.launch();
  await server.api('POST', '/api/v1/rooms', { title: 'Monday meeting', name: 'meeting', open: false });
  const invite = async (label) => {
    const made = await server.api('POST', '/api/v1/rooms/meeting/invites', { label });
    server.keepSecret(made.invite);
    return made.invite;
  };

  const cut = await Cut.before(server.addresses.http);
  const ada = new Caller(await (await openChromium({ camera: true })).page(), 'Ada');
  const bob = new Caller(await (await openChromium({ camera: true })).page(), 'Bob');
  const eve = new Caller(await (await openFirefox({ camera: true })).page(), 'Eve');

  // The administrator comes with the account, the others with an invite.
  const link = await server.signInLink();
  await ada.page.goto(link);
  await until('the sign-in', 20_000, () => ada.page.evaluate(() => location.pathname === '/'));
  await ada.open(`${new URL(link).origin}/call/meeting`);
  await shot(ada, 'prejoin');
  const links = { Bob: `${cut.origin}/call/meeting#invite=${await invite('bob')}`, Eve: `${server.http}/call/meeting#invite=${await invite('eve')}` };
  await bob.open(links.Bob);
  await eve.open(links.Eve);
  results.check('the check before the call finds no fault', [ada, bob, eve].every(({ faults }) => faults === ''), { faults: [ada, bob, eve].map(({ faults }) => faults) });

  await ada.join();
  await measured(bob, 1);
  await measured(eve, 2);
  await Promise.all([ada.seesAndHears(2), bob.seesAndHears(2)]);
  results.check('three people see and hear each other', true);
  await views();

  await mute();
  await screenShare();
  await leaveAndRejoin();
  await cutSocket();
  await moderate();
  for (const { page, name } of [ada, bob, eve]) {
    const errors = page.said.filter((line) => /^(error|pageerror)/.test(line) && !/WebSocket|ERR_CONNECTION|net::|NS_ERROR/.test(line));
    results.check(`${name}: the console is free of errors`, errors.length === 0, { errors: errors.slice(0, 5) });
  }
  cut.close();

  /** Joins and waits for all others, five times, each from the page before the call; the time counts from the click. */
  async function measured(caller, others) {
    const all = [];
    for (let time = 0; time < JOINS; time += 1) {
      if (time > 0) {
        await caller.press('leave');
        await ada.untilParticipants(others - 1);
        await caller.page.goto('about:blank');
        await caller.open(links[caller.name]);
      }
      const from = performance.now();
      await caller.join();
      await caller.seesAndHears(others);
      all.push(round(performance.now() - from));
    }
    const { moments } = await caller.facts();
    results.check(`${caller.name} sees and hears ${others} within ${MEDIA_WITHIN_MS} ms of the click`, median(all) <= MEDIA_WITHIN_MS, { median_ms: median(all), all_ms: all, last: moments });
  }

  async function views() {
    await sleep(2_000);
    await shot(ada, 'grid');
    await ada.key('g');
    await sleep(1_000);
    await shot(ada, 'speaker');
    await ada.key('g');
    await ada.key('i');
    await sleep(5_000);
    await shot(ada, 'overlay');
    await ada.key('i');
    await ada.page.resize(PHONE);
    await sleep(1_000);
    await shot(ada, 'phone');
    const overflow = await ada.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    results.check('nothing is wider than a phone', !overflow);
    await ada.page.resize(DESKTOP);
    const asked = (await ada.facts()).participants.flatMap(({ tracks }) => tracks).filter(({ source }) => source === 'camera').map(({ settings }) => settings.width);
    results.check('the server is told how large each picture is', asked.length === 2 && asked.every((width) => width > 0), { asked });
  }

  async function mute() {
    await bob.key('m');
    await until('Bob to be shown as muted', 10_000, async () => tileOf(await ada.tiles(), await bob.facts())?.audio === 'false');
    results.check('a muted microphone is shown to the others', true);
    await bob.key('m');
    await until('Bob to be heard again', 10_000, async () => tileOf(await ada.tiles(), await bob.facts())?.audio === 'true');
    await bob.key('v');
    await until('the picture of Bob to go', 10_000, async () => tileOf(await ada.tiles(), await bob.facts())?.isShown === false);
    await bob.key('v');
    await ada.seesAndHears(2);
    results.check('microphone and camera go off and on again', true);
  }

  async function screenShare() {
    await bob.press('screen');
    for (const viewer of [ada, eve]) {
      await until(`${viewer.name} to see the screen`, 15_000, async () => (await viewer.tiles()).some(({ isScreen, isShown }) => isScreen && isShown));
    }
    results.check('a shared screen is seen, and stands first', (await ada.tiles())[0].isScreen);
    await shot(ada, 'screen');
    await bob.press('screen');
    await until('the screen to go', 10_000, async () => !(await ada.tiles()).some(({ isScreen }) => isScreen));
    results.check('and goes again', true);
  }

  async function leaveAndRejoin() {
    await bob.press('leave');
    await ada.untilParticipants(1);
    await bob.press('rejoin');
    await bob.seesAndHears(2);
    await ada.seesAndHears(2);
    results.check('who left and came back sees and is seen', true);
  }

  async function cutSocket() {
    const before = await bob.facts();
    const from = await ada.received();
    cut.cut();
    await until('Bob to be told', 15_000, async () => (await bob.facts()).shown === 'reconnecting');
    const own = await bob.received();
    await sleep(CUT_MS);
    const during = { ada: (await ada.received()).bytes - from.bytes, bob: (await bob.received()).bytes - own.bytes };
    results.check(`media goes on both ways while the socket is away for ${CUT_MS / 1000} s`, during.ada > 100_000 && during.bob > 100_000, during);
    await shot(bob, 'reconnecting');
    cut.restore();
    await until('Bob to be back', 20_000, async () => (await bob.facts())?.state === 'connected');
    const after = await bob.facts();
    results.check('the same participant goes on', after.self.id === before.self.id, { before: before.self.id, after: after.self.id });
    await bob.seesAndHears(2);
  }

  /** Bob may only listen, then speak again, then not even listen, and is back. */
  async function rights(eveId) {
    const { self } = await bob.facts();
    const grant = () => ada.page.evaluate((id) => document.querySelector(`[data-action="grant ${id}"]`).click(), self.id);
    const tracksOfBob = async () => (await ada.facts()).participants.find(({ id }) => id === self.id).tracks.length;
    await grant();
    await until('Bob to be told', 10_000, () => bob.page.evaluate(() => !document.querySelector('[data-name="rights"]').hidden));
    const barred = await bob.page.evaluate(() => ['audio', 'video', 'screen'].map((name) => document.querySelector(`[data-name="${name}"]`)).map((button) => [button.getAttribute('aria-disabled'), button.getAttribute('aria-label')]));
    await shot(bob, 'listens-only');
    await until('the tracks of Bob to be gone', 10_000, async () => (await tracksOfBob()) === 0);
    await bob.press('audio');
    const { peers } = await bob.facts();
    results.check('who may only listen has dimmed buttons that say why, and sends nothing', barred.every(([off, label]) => off === 'true' && /moderator/.test(label)) && peers[0] === 'none' && peers[1] === 'connected' && (await tracksOfBob()) === 0, { barred, peers });
    await grant();
    await until('the tracks of Bob to be back', 10_000, async () => (await tracksOfBob()) === 2);
    await until('the buttons of Bob', 10_000, () => bob.page.evaluate(() => document.querySelector('[data-name="audio"]').getAttribute('aria-disabled') === null));
    results.check('with the right back, nothing is heard or seen until it is switched on', tileOf(await ada.tiles(), await bob.facts()).audio === 'false');
    await bob.key('m');
    await bob.key('v');
    await ada.seesAndHears(1);
    await until('Bob to be heard and seen', 10_000, async () => {
      const tile = tileOf(await ada.tiles(), await bob.facts());
      return tile?.audio === 'true' && tile.isShown;
    });
    results.check('and then it is', true);

    const change = (grants) => server.api('PATCH', `/api/v1/rooms/meeting/participants/${self.id}`, { grants });
    await change(['publish', 'chat']);
    await until('Bob to see nobody', 10_000, async () => (await bob.facts()).peers[1] === 'none' && (await bob.tiles()).every(({ isSelf, isShown }) => isSelf || !isShown));
    await change(['publish', 'subscribe', 'chat']);
    // Eve was muted by the moderator, and is seen all the same.
    await until('Bob to see both again', 20_000, async () => (await bob.tiles()).filter(({ isSelf, isShown }) => !isSelf && isShown).length === 2);
    results.check('the right to see and hear goes and comes back likewise', (await bob.facts()).participants.some(({ id }) => id === eveId));
  }

  async function moderate() {
    await ada.key('p');
    await sleep(500);
    await shot(ada, 'people');
    const { self } = await eve.facts();
    await ada.page.evaluate((id) => document.querySelector(`[data-action="mute ${id}"]`).click(), self.id);
    await until('Eve to be muted', 10_000, async () => (await eve.tiles()).find(({ isSelf }) => isSelf)?.audio === 'false');
    results.check('a moderator mutes', true);
    await rights(self.id);
    await ada.page.evaluate((id) => document.querySelector(`[data-action="remove ${id}"]`).click(), self.id);
    await until('the question', 5_000, () => ada.page.evaluate(() => document.querySelector('dialog[open] .button-danger') !== null));
    await ada.page.evaluate(() => document.querySelector('dialog[open] .button-danger').click());
    await until('Eve to be out', 10_000, () => eve.page.evaluate(() => document.querySelector('[data-reason]')?.dataset.reason === 'removed'));
    await ada.untilParticipants(1);
    results.check('a moderator removes, and who is removed is told why', true);
    await shot(eve, 'removed');
  }
});

function tileOf(tiles, facts) {
  return tiles.find(({ participant, isScreen }) => participant === facts.self.id && !isScreen);
}

async function shot(caller, name) {
  results.screenshots.push(await caller.page.screenshot(`call-${name}`));
}
process.exit(process.exitCode ?? 0);
