// What a viewer sees and hears, from the <video> element: each presented picture with the number drawn into it and the
// time at which it is shown, and the sound with the time at which it is heard. Whoever asks compares them with the
// source's clock. Pictures come by requestVideoFrameCallback, sound by an audio worklet.

import { BEEP_HZ, CODE_BITS, CODE_CELL, SOURCE, levelOf } from './timecode.mjs';

/** What is kept of the past. */
const SOUND_SECONDS = 90;
const PICTURES_MAX = 6000;
/** The picture is read at this part of its size, so that reading each costs little. */
const CELL_READ = 4;
/** Onsets are looked for in steps of this many samples: 1.3 ms at 48 kHz. */
const STEP = 64;
/** A beep is this much above the tone that lies under it. */
const ONSET_RATIO = 6;

const WORKLET = `registerProcessor('tap', class extends AudioWorkletProcessor {
  constructor() { super(); this.block = new Float32Array(1024); this.filled = 0; }
  process([input]) {
    if (this.filled === 0) this.from = currentFrame;
    const mono = input[0];
    for (let i = 0; i < 128; i += 1) this.block[this.filled + i] = mono ? (input.length > 1 ? (mono[i] + input[1][i]) / 2 : mono[i]) : 0;
    this.filled += 128;
    if (this.filled === this.block.length) { this.port.postMessage({ from: this.from, block: this.block }); this.filled = 0; }
    return true;
  }
});`;

/** Begins to measure an element. `size` is that of the source before anybody scaled it. */
export function openMeter(video, { size = SOURCE, sound = true } = {}) {
  const meter = { pictures: [], unread: 0, soundFrom: null, levels, beeps, figures };
  const canvas = new OffscreenCanvas(CODE_BITS * CELL_READ, 2 * CELL_READ);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const blocks = [];
  let audio = null;

  const read = () => {
    const scale = video.videoWidth / size.width;
    context.drawImage(video, 0, 0, CODE_BITS * CODE_CELL * scale, 2 * CODE_CELL * scale, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const light = (bit, row) => data[4 * ((row * CELL_READ + CELL_READ / 2) * canvas.width + bit * CELL_READ + CELL_READ / 2) + 1];
    let number = 0;
    for (let bit = 0; bit < CODE_BITS; bit += 1) {
      const [top, bottom] = [light(bit, 0), light(bit, 1)];
      if (Math.abs(top - bottom) < 80) return null;
      if (top > bottom) number += 2 ** bit;
    }
    return number;
  };

  const shown = (now, { expectedDisplayTime, receiveTime, presentedFrames }) => {
    const number = read();
    if (number === null) meter.unread += 1;
    else meter.pictures.push({ number, at: performance.timeOrigin + expectedDisplayTime, called: performance.timeOrigin + now, received: receiveTime && performance.timeOrigin + receiveTime, presented: presentedFrames });
    if (meter.pictures.length > PICTURES_MAX) meter.pictures.shift();
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);

  meter.ready = sound ? listen() : Promise.resolve();
  async function listen() {
    audio = new AudioContext({ sampleRate: 48_000, latencyHint: 'interactive' });
    await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: 'text/javascript' })));
    const tap = new AudioWorkletNode(audio, 'tap', { numberOfOutputs: 1 });
    tap.port.onmessage = ({ data: { from, block } }) => {
      const { contextTime, performanceTime } = audio.getOutputTimestamp();
      // The time at which this block leaves the loudspeaker, by the output's own clock.
      const at = performance.timeOrigin + performanceTime + (from / audio.sampleRate - contextTime) * 1000;
      blocks.push({ at, block });
      if (blocks.length * block.length > SOUND_SECONDS * audio.sampleRate) blocks.shift();
    };
    tap.connect(audio.destination);
    if (video.srcObject) {
      const hear = () => {
        if (!video.srcObject?.getAudioTracks().length) return false;
        audio.createMediaStreamSource(video.srcObject).connect(tap);
        meter.soundFrom = performance.now();
        return true;
      };
      // A stream may get its sound later than its picture.
      if (!hear()) { const timer = setInterval(() => hear() && clearInterval(timer), 50); }
    } else {
      audio.createMediaElementSource(video).connect(tap);
      meter.soundFrom = performance.now();
    }
    await audio.resume();
  }

  /** The newest `seconds` of sound. */
  function newest(seconds) {
    const wanted = Math.ceil((seconds * 48_000) / 1024);
    const last = blocks.slice(-wanted);
    const samples = new Float32Array(last.length * 1024);
    last.forEach(({ block }, i) => samples.set(block, i * 1024));
    return { last, samples };
  }

  /** Levels of frequencies in the newest sound, in dB below a full sine. */
  function levels(frequencies, seconds = 1) {
    const { samples } = newest(seconds);
    return samples.length ? Object.fromEntries(frequencies.map((hz) => [hz, Math.round(10 * levelOf(samples, 48_000, hz)) / 10])) : null;
  }

  /** Where beeps begin: when they are heard, and their pitch. */
  function beeps(seconds = SOUND_SECONDS) {
    const { last, samples } = newest(seconds);
    const energy = [];
    for (let i = 0; i + STEP <= samples.length; i += STEP) {
      let sum = 0;
      for (let j = i; j < i + STEP; j += 1) sum += samples[j] * samples[j];
      energy.push(sum / STEP);
    }
    const found = [];
    // 40 ms of quiet, then loud for at least 20 ms.
    const [before, after] = [Math.round(0.04 * 48_000 / STEP), Math.round(0.02 * 48_000 / STEP)];
    for (let i = before; i + after < energy.length; i += 1) {
      const quiet = Math.max(...energy.slice(i - before, i - 1));
      const loud = energy.slice(i, i + after).reduce((a, b) => a + b, 0) / after;
      // The step itself is loud: what comes after it alone would put the beginning too early.
      if (energy[i] < Math.max(1e-2, ONSET_RATIO * quiet) || loud < 1e-2) continue;
      const at = i * STEP;
      const { at: blockAt } = last[Math.floor(at / 1024)];
      const part = samples.slice(at, at + 2400);
      const pitches = BEEP_HZ.map((hz) => levelOf(part, 48_000, hz));
      found.push({ at: blockAt + ((at % 1024) / 48), pitch: pitches.indexOf(Math.max(...pitches)) });
      i += Math.round(0.3 * 48_000 / STEP);
    }
    return found;
  }

  function figures(seconds) {
    return {
      pictures: meter.pictures, unread: meter.unread, beeps: audio ? beeps(seconds) : [],
      sound: audio && { rate: audio.sampleRate, state: audio.state, base_latency_ms: audio.baseLatency * 1000, output_latency_ms: audio.outputLatency * 1000, blocks: blocks.length },
    };
  }
  return meter;
}
