// What the measuring of sound against picture says where both are in step: a file that the browser plays, and a camera
// that goes from one peer connection to another in the same page. An audio context hears later than a loudspeaker would,
// by the browser's and the machine's buffers, so every reading is taken against the zero of its kind in the same browser.

import { sleep } from './process.mjs';
import { median } from './results.mjs';
import { Rig } from './rigs.mjs';
import { asTaken, avOffsets, evenly, spread } from './sync.mjs';

/** Browsers bring sound and picture together by steps; before this nothing is judged. */
export const SETTLE_MS = 12_000;
/** The beeps that are judged. */
export const JUDGED_SECONDS = 8;

/** The offset of a page's own camera that goes through no server; `{ offset, rig }` with the rig still open when asked. */
export async function zeroOfLoopback(browser, rigs, codec = 'VP8') {
  const rig = await Rig.open(browser, rigs, 'blank');
  await rig.do(loop, codec);
  await rig.untilPicture();
  await sleep(SETTLE_MS + JUDGED_SECONDS * 1000);
  const [measured, clock] = [await rig.measured(JUDGED_SECONDS), await rig.clock()];
  const levels = await rig.levels([440, 550], 2);
  await rig.close();
  return { offset: spread(avOffsets(measured, asTaken(clock))), measured, clock, levels };
}

/** The offset of a file of `lib/encoders.mjs`'s coded clip, served as `src`. */
export async function zeroOfFile(browser, rigs, src, fps = 30) {
  const rig = await Rig.open(browser, rigs, 'file', { src });
  await rig.untilPicture();
  await sleep(2000 + JUDGED_SECONDS * 1000);
  const measured = await rig.measured(JUDGED_SECONDS);
  const levels = await rig.levels([440, 550], 2);
  await rig.close();
  return { offset: spread(avOffsets(measured, evenly(fps))), measured, levels };
}

/**
 * The same over several openings: pictures are shown at the screen's beats, and where those of one opening fall between two
 * beats is chance, which moves its offset by up to 17 ms. `all` are the openings.
 */
export async function zeroOfOpenings(browser, rigs, src, openings = 5) {
  const all = [];
  for (let i = 0; i < openings; i += 1) all.push(await zeroOfFile(browser, rigs, src));
  return { median: median(all.map(({ offset }) => offset?.median)), offsets: all.map(({ offset }) => offset), all };
}

/** Runs in the page. */
async function loop(codec) {
  const rig = window.__rig;
  rig.camera = rig.openCamera();
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  for (const [one, other] of [[from, to], [to, from]]) one.onicecandidate = ({ candidate }) => candidate && other.addIceCandidate(candidate);
  const stream = new MediaStream();
  to.ontrack = ({ track }) => {
    stream.addTrack(track);
    rig.video.srcObject = stream;
  };
  for (const track of rig.camera.stream.getTracks()) {
    const transceiver = from.addTransceiver(track, { direction: 'sendonly', streams: [rig.camera.stream] });
    if (track.kind === 'video') transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
  }
  await from.setLocalDescription();
  await to.setRemoteDescription(from.localDescription);
  await to.setLocalDescription();
  await from.setRemoteDescription(to.localDescription);
  rig.meter = rig.openMeter(rig.video);
}
