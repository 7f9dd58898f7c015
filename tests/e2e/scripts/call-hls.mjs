// Acceptance line 3 of WHIP and WHEP: a call of three Chromiums without an encoder plays as LL-HLS in hls.js and Shaka without a
// stall and in step, with all three voices at once and one init segment for each rendition whoever speaks, and the conformance
// client finds nothing wrong.

import { openChromium } from '../lib/browsers.mjs';
import { examine } from '../lib/conform.mjs';
import { codedClip } from '../lib/encoders.mjs';
import { parseMedia } from '../lib/hls.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { Telstar } from '../lib/server.mjs';
import { asTaken, avOffsets, evenness, latencies, spread } from '../lib/sync.mjs';
import { open, smooth, watch } from '../lib/watching.mjs';
import { JUDGED_SECONDS, zeroOfFile } from '../lib/zero.mjs';

const MINUTE = Number(process.env.E2E_WATCH_SECONDS ?? 60);
const APART_MAX_MS = 40;
const HEARD_DB = 20;
/** Looked at for a tone. A voice whose clock is followed is some hertz off for a while, which a longer look would take for silence. */
const HEARD_SECONDS = 0.2;
/** From the first request for a playlist to the first playlist. */
const FIRST_PLAYLIST_MAX_MS = 15_000;
const ROOM = 'three';
/** Another, for the server's own page. */
const PAGE_ROOM = 'alone';
/** Who is there, and as what tone. Ada's picture is a screen, which is first and large for the whole time, so that it can be read. */
const PEOPLE = [{ identity: 'ada', tone: 440, source: 'screen' }, { identity: 'bob', tone: 880 }, { identity: 'eve', tone: 1320 }];
/** No voice and no beep is at or near this one. */
const SILENT_HZ = 3300;
/** With this shape the large tile is filled by a picture of 16:9, from the corner on: four fifths of 1600 are 1280. */
const MIX = { width: 1600, height: 720 };
/** What the picture is wide, counted in pixels of Ada's 640. */
const SIZE = { width: 800, height: 360 };
/** Ada's beeps may pass for speech; her tone is lower than the others', so that who speaks is louder all the same (by 4 dB and more). */
const QUIET_GAIN = 0.025;
/** Bob and Eve speak in turn, so long each. */
const TURN_MS = 5_000;

const results = new Results('call-hls', `A call of three Chromiums as LL-HLS in hls.js and Shaka: ${MINUTE} s without a stall, sound and picture within ${APART_MAX_MS} ms, three voices at once, one init segment whoever speaks, no rule broken.`);
await results.during(async () => {
  const rigs = await serveRigs({ files: { '/coded.mp4': await codedClip() } });
  // The people's page is another site's, with the server's client library in it.
  const env = { TELSTAR_TRANSCODE_MIX_WIDTH: String(MIX.width), TELSTAR_TRANSCODE_MIX_HEIGHT: String(MIX.height), TELSTAR_ALLOWED_ORIGINS: rigs.origin };
  const server = await Telstar.launch({ env });
  const room = await server.room(ROOM);
  const browser = await openChromium({ camera: true });
  const zero = (await zeroOfFile(browser, rigs, '/coded.mp4')).offset;
  results.figure('zero_of_this_browser_ms', zero);

  const before = await fetch(room.playlist);
  results.check('a room without a call has no playlist', before.status === 404, { status: before.status });
  const people = [];
  for (const person of PEOPLE) people.push(await join(person));
  const [ada, bob, eve] = people;

  const asked = performance.now();
  await until('the first playlist', 60_000, async () => (await fetch(room.playlist)).ok, 200);
  const first = round(performance.now() - asked);
  results.check('HLS of a call begins with the first request for it', first < FIRST_PLAYLIST_MAX_MS, { first_playlist_ms: first });
  const { live } = await server.api('GET', `/api/v1/rooms/${ROOM}`);
  results.check('the mix is in the room\'s state', live.ingest?.protocol === 'mix' && live.conversions.some(({ from }) => from === 'call'), live);

  let turns = 0;
  const speaking = setInterval(() => {
    turns += 1;
    for (const [index, person] of [bob, eve].entries()) person.do((speaks) => window.__rig.voice.speak(speaks), turns % 2 === index).catch(() => {});
  }, TURN_MS);
  for (const player of ['hlsjs', 'shaka']) await played(player);
  clearInterval(speaking);

  const spoke = await ada.do(() => [...new Set(window.__rig.spoke)]);
  results.check('the speaker changed', turns > 2 && spoke.length >= 2, { turns, spoke });
  for (const rendition of ['video', 'audio']) {
    const url = new URL(`${rendition}/index.m3u8`, room.playlist).href;
    const text = await (await fetch(url)).text();
    const maps = new Set([...text.matchAll(/#EXT-X-MAP:URI="([^"]*)"/g)].map(([, uri]) => uri));
    const { segments } = parseMedia(text, url);
    results.check(`${rendition}: one init segment and no discontinuity whoever speaks`, maps.size === 1 && segments.every(({ discontinuity }) => !discontinuity), { maps: [...maps], segments: segments.length });
  }
  const report = await examine(room.playlist);
  results.check('the conformance client finds no rule broken', report.ok, report);
  const { live: after } = await server.api('GET', `/api/v1/rooms/${ROOM}`);
  results.figure('mix_cpu_percent', after.conversions.find(({ from }) => from === 'call')?.cpu_percent ?? null);

  for (const person of people) await person.do(() => window.__rig.client.close());
  await until('the stream to end with the call', 20_000, async () => (await server.api('GET', `/api/v1/rooms/${ROOM}`)).live.state === 'offline');
  await onItsPage();
  await browser.close();
  rigs.close();
  await server.stop();

  /** A call that nobody has asked for is shown by its watch page, which needs no more than its address. */
  async function onItsPage() {
    const { watch: address } = await server.room(PAGE_ROOM);
    const page = await browser.page();
    await page.goto(address);
    await until('the page to say that nothing is on', 20_000, () => page.evaluate(() => document.querySelector('#player')?.dataset.state === 'offline'));
    await page.close();
    const person = await join(PEOPLE[1], PAGE_ROOM);
    await until('the room to say that there is a call', 20_000, async () => (await server.api('GET', `/api/v1/rooms/${PAGE_ROOM}`)).live.has_call);
    for (const transport of ['webrtc', 'hls']) {
      const viewer = await open(browser, `${address}?transport=${transport}`);
      await sleep(3_000);
      const { state, transport: by } = await viewer.evaluate(() => ({ ...document.querySelector('#player').dataset }));
      const errors = viewer.said.filter((line) => /^(error|pageerror)/.test(line));
      results.check(`the watch page shows a call by itself (${transport})`, state === 'live' && by === transport && errors.length === 0, { state, transport: by, playing_ms: (await viewer.snapshot()).playingMs, errors });
      if (transport === 'webrtc') results.screenshots.push(await viewer.screenshot('call-hls-watch-page'));
      await viewer.close();
    }
    await person.do(() => window.__rig.client.close());
    await person.close();
  }

  /** Somebody with a picture and a steady tone; Ada beeps as well, and the others can speak: their tone then comes and goes. */
  async function join({ identity, tone, source }, name = ROOM) {
    const token = await server.callToken(name, identity);
    const rig = await Rig.open(browser, rigs, 'blank');
    await rig.do(async ({ url, room: name, token: credential, identity: who, tone: hz, gain, source: shown }) => {
      const own = window.__rig;
      own.camera = own.openCamera({ toneHz: hz, toneGain: gain, sound: shown === 'screen' });
      own.voice = shown === 'screen' ? null : openVoice(hz);
      const sound = own.voice ? own.voice.track : own.camera.stream.getAudioTracks()[0];
      const { connect, socketUrl } = await import(`${url}/client/v1.js`);
      own.client = connect({ url: socketUrl(url), token: credential });
      const call = own.client.join(name, { name: who });
      own.spoke = [];
      call.on('speakers', (speakers) => own.spoke.push(...speakers.slice(0, 1).map(({ participant }) => participant)));
      call.publish(own.camera.stream.getVideoTracks()[0], shown ? { source: shown } : {});
      call.publish(sound, {});
      await Promise.race([call.ready, new Promise((_, fail) => { setTimeout(() => fail(new Error(`${who} does not get into the call`)), 20_000); })]);

      // A tone that is steady, which nobody takes for speech, or comes and goes, which everybody does.
      function openVoice(frequency) {
        const context = new AudioContext({ sampleRate: 48_000 });
        const [oscillator, gain] = [context.createOscillator(), context.createGain()];
        const destination = context.createMediaStreamDestination();
        oscillator.frequency.value = frequency;
        gain.gain.value = 0.05;
        oscillator.connect(gain).connect(destination);
        oscillator.start();
        context.resume();
        let timer = null;
        return {
          track: destination.stream.getAudioTracks()[0],
          speak(speaks) {
            clearInterval(timer);
            gain.gain.value = 0.05;
            let isLoud = false;
            timer = speaks ? setInterval(() => { isLoud = !isLoud; gain.gain.setTargetAtTime(isLoud ? 0.15 : 0.05, context.currentTime, 0.02); }, 120) : null;
          },
        };
      }
    }, { url: server.http, room: name, token, identity, tone, gain: QUIET_GAIN, source });
    return rig;
  }

  async function played(player) {
    const rig = await Rig.open(browser, rigs, player, { src: room.playlist, ...SIZE });
    await rig.untilPicture();
    await until('the player to play', 30_000, async () => (await rig.page.snapshot()).playingMs !== null);
    const figures = await watch(rig.page, MINUTE);
    const tones = PEOPLE.map(({ tone }) => tone);
    const [measured, levels, clock] = [await rig.measured(JUDGED_SECONDS), await rig.levels([...tones, SILENT_HZ], HEARD_SECONDS), await ada.clock()];
    results.screenshots.push(await rig.page.screenshot(`call-hls-${player}`));
    await rig.close();
    results.check(`${player}: ${MINUTE} s without a stall`, smooth(figures), { ...figures, ...evenness(measured), camera_to_screen_ms: spread(latencies(measured, clock.takenAt), 0) });
    results.check(`${player}: three voices at once`, tones.every((tone) => levels?.[tone] - levels?.[SILENT_HZ] > HEARD_DB), { levels_db: levels });
    const apart = spread(avOffsets(measured, asTaken(clock)));
    const offset = apart && zero && round(apart.median - zero.median, 1);
    results.check(`${player}: sound and picture within ${APART_MAX_MS} ms`, offset !== null && Math.abs(offset) <= APART_MAX_MS, { offset_ms: offset, measured: apart });
    // The next player begins at another place, and not on what this one left.
    await sleep(1_000);
  }
});
process.exit();
