// The code that every source of these tests carries, and the times of its sounds. Shared by pages, by Node and, in their
// own words, by the Python clients and by ffmpeg's filters: a row of bits above a row of their complements, and a beep
// at each whole second whose pitch says which second it is.

/** 16 bits last 36 minutes at 30 pictures a second. */
export const CODE_BITS = 16;
/** Cells are this wide and high: large enough for any encoder setting used here. */
export const CODE_CELL = 32;
/** What every coded source draws into, so that a reader of a scaled picture knows how far it was scaled. */
export const SOURCE = { width: 640, height: 360 };

/** Pitches of the beeps of four seconds, after which they come again: an offset of up to 2 s is told from its neighbours. */
export const BEEP_HZ = [700, 1000, 1500, 2200];
export const BEEP_MS = 100;
export const BEEP_GAIN = 0.4;
/** Under the beeps lies a steady tone, which says who is heard. */
export const TONE_GAIN = 0.05;

/** The beep that begins at this second of the source. */
export const beepHz = (second) => BEEP_HZ[((second % BEEP_HZ.length) + BEEP_HZ.length) % BEEP_HZ.length];

/** One sample of the source's sound, at a time of it in seconds. */
export function soundAt(seconds, toneHz, toneGain = TONE_GAIN) {
  const second = Math.floor(seconds);
  const tone = toneGain * Math.sin(2 * Math.PI * toneHz * seconds);
  const since = seconds - second;
  return since * 1000 < BEEP_MS ? tone + BEEP_GAIN * Math.sin(2 * Math.PI * beepHz(second) * since) : tone;
}

/** The same sound for ffmpeg's `aevalsrc`. */
export function soundForFfmpeg(toneHz) {
  const pitch = BEEP_HZ.map((hz, i) => `eq(ld(0),${i})*${hz}`).join('+');
  return `st(0,mod(floor(t),${BEEP_HZ.length}));st(1,t-floor(t));${TONE_GAIN}*sin(2*PI*${toneHz}*t)+lt(ld(1),${BEEP_MS / 1000})*${BEEP_GAIN}*sin(2*PI*(${pitch})*ld(1))`;
}

/** Power of a frequency in samples, in dB below a full sine; a Hann window keeps the others out. */
export function levelOf(samples, rate, hz) {
  const omega = (2 * Math.PI * hz) / rate;
  const coefficient = 2 * Math.cos(omega);
  let [one, two] = [0, 0];
  for (let i = 0; i < samples.length; i += 1) {
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (samples.length - 1));
    [one, two] = [samples[i] * hann + coefficient * one - two, one];
  }
  const power = one * one + two * two - coefficient * one * two;
  // A full sine under a Hann window has the magnitude length / 4.
  return 10 * Math.log10(Math.max(power / (samples.length / 4) ** 2, 1e-12));
}
