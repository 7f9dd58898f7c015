// A camera and a microphone made by the page, whose pictures carry their number and whose sound beeps at whole seconds.
// Both come from one clock, so that how far apart they are at the other end is the way's doing.

import { CODE_BITS, CODE_CELL, SOURCE, soundAt } from './timecode.mjs';

const RATE = 48_000;
/** So long the clocks of sound and page are compared before either device begins. */
const SETTLE_MS = 500;
/** Sound is laid down this far ahead, a second at a time. */
const AHEAD_SECONDS = 2;
/** The newest readings of the sound's clock, 10 ms apart: about a second. */
const READINGS = 100;
/** A clock that fell back by less may have been read at a bad moment; blocks are 10 ms and more. */
const LOST_MIN_MS = 8;
/** How often the page looks whether something is due. Higher and pictures come unevenly; lower costs time of two cores. */
const TICK_MS = 5;

export const wall = (at = performance.now()) => performance.timeOrigin + at;

/**
 * `takenAt[n]` is the wall time of picture n in milliseconds, and its time in the source is that less `zero`;
 * sound of the source's time t is taken at `zero` + t.
 */
export function openCamera({ width = SOURCE.width, height = SOURCE.height, fps = 30, toneHz = 440, toneGain, sound = true } = {}) {
  const picture = new MediaStreamTrackGenerator({ kind: 'video' });
  const pictures = picture.writable.getWriter();
  const from = performance.now() + SETTLE_MS;
  const microphone = sound ? openMicrophone(from, toneHz, toneGain) : null;
  const stream = new MediaStream([picture, ...(microphone ? [microphone.track] : [])]);
  const camera = { stream, takenAt: [], zero: wall(from), soundLost: () => microphone?.lost() ?? 0, stop };

  const frame = new Uint8Array((width * height * 3) / 2).fill(128);
  const draw = (number) => {
    const shade = 60 + (number % 64);
    // Something moves, or encoders would send next to nothing.
    for (let y = 2 * CODE_CELL; y < height; y += 1) frame.fill(shade + (((y + 4 * number) >> 4) & 31) * 4, y * width, (y + 1) * width);
    for (let bit = 0; bit < CODE_BITS; bit += 1) {
      const isSet = (number >> bit) & 1;
      for (let y = 0; y < 2 * CODE_CELL; y += 1) frame.fill(isSet === Number(y < CODE_CELL) ? 235 : 16, y * width + bit * CODE_CELL, y * width + (bit + 1) * CODE_CELL);
    }
    for (let y = 0; y < 2 * CODE_CELL; y += 1) frame.fill(16, y * width + CODE_BITS * CODE_CELL, (y + 1) * width);
  };

  const timer = setInterval(() => {
    const now = performance.now() - from;
    if (now < 0 || (camera.takenAt.length * 1000) / fps > now) return;
    const number = camera.takenAt.length % 2 ** CODE_BITS;
    draw(number);
    // Behind by more than a picture, a camera leaves some out; the numbers go on, so that their times stay even.
    camera.takenAt.push(wall());
    pictures.write(new VideoFrame(frame, { format: 'I420', codedWidth: width, codedHeight: height, timestamp: Math.round((performance.now() - from) * 1000) })).catch(() => {});
  }, TICK_MS);

  function stop() {
    clearInterval(timer);
    microphone?.stop();
    stream.getTracks().forEach((track) => track.stop());
  }
  return camera;
}

/**
 * A microphone whose sound of the source's time t is made at `from` + t of the page's clock. It comes out of an audio
 * context as sound from a page does; samples pushed into a track of their own (`AudioData`) carry capture times by which
 * Chromium 156 then shows the picture half a second late.
 */
function openMicrophone(from, toneHz, toneGain) {
  const context = new AudioContext({ sampleRate: RATE });
  context.resume();
  const destination = context.createMediaStreamDestination();
  // The context counts in blocks, made a little ahead: its time is at most that much behind, and at best right.
  const leads = [];
  let lead = null;
  let lost = 0;
  let second = 0;
  const lay = () => {
    // Before it runs its time stands still and says nothing.
    if (context.currentTime > 0) leads.push(performance.now() - context.currentTime * 1000);
    if (leads.length > READINGS) leads.shift();
    if (performance.now() < from - 20 || leads.length === 0) return;
    const least = Math.min(...leads);
    // On a machine that has no time for it the context leaves blocks out and goes on where it stood: later than the page's
    // clock from then on, and what is laid down by the old reading would be late by as much.
    if (lead !== null && least - lead > LOST_MIN_MS) { lost += least - lead; lead = least; }
    lead = Math.min(lead ?? Infinity, least);
    if (second === 0) second = Math.max(0, Math.ceil((performance.now() - from) / 1000));
    for (; second * 1000 < performance.now() - from + AHEAD_SECONDS * 1000; second += 1) {
      const buffer = context.createBuffer(1, RATE, RATE);
      const data = buffer.getChannelData(0);
      for (let i = 0; i < RATE; i += 1) data[i] = soundAt(second + i / RATE, toneHz, toneGain);
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(destination);
      source.start((from + second * 1000 - lead) / 1000);
    }
  };
  const timer = setInterval(lay, 10);
  return {
    track: destination.stream.getAudioTracks()[0],
    /** Milliseconds of sound that were never made. */
    lost: () => Math.round(lost),
    stop() {
      clearInterval(timer);
      context.close();
    },
  };
}
