/** Two short notes on the chosen loudspeaker, so that nobody has to join to find out whether it can be heard. */

import { routeOutput } from './devices.js';

const NOTES_HZ = [523, 784];
const NOTE_SECS = 0.22;
/** Of full scale: plain to hear, and no fright with headphones on. */
const LEVEL = 0.2;

export async function playTestSound(output: string): Promise<void> {
  const context = new AudioContext();
  const target = context.createMediaStreamDestination();
  const element = new Audio();
  element.srcObject = target.stream;
  if (output !== '') await routeOutput(element, output);
  await element.play().catch(() => {});
  NOTES_HZ.forEach((frequency, index) => {
    const at = context.currentTime + 0.1 + index * NOTE_SECS;
    const note = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(LEVEL, at + 0.02);
    gain.gain.linearRampToValueAtTime(0, at + NOTE_SECS);
    note.connect(gain).connect(target);
    note.start(at);
    note.stop(at + NOTE_SECS);
    if (index < NOTES_HZ.length - 1) return;
    note.onended = () => {
      element.srcObject = null;
      void context.close();
    };
  });
}
