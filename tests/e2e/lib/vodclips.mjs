// Sources of assets that say by themselves what should be seen, heard and read of them, and when.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { prepared } from './clips.mjs';
import { runDir } from './paths.mjs';

/** What `twoLanguages` has. A word stands for four seconds of each five. */
export const TWO_LANGUAGES = { seconds: 40, tones: { en: 440, ko: 880 }, wordEverySecs: 5, wordAt: (secs) => `Word ${Math.floor(secs / 5)}`, subtitles: 'de' };

/** H.264 of 720 lines, a tone for each of two languages, and words that name their time. */
export function twoLanguages() {
  const { seconds, tones, wordEverySecs } = TWO_LANGUAGES;
  const words = path.join(runDir(), 'words.srt');
  const stamp = (secs) => `00:00:${String(secs).padStart(2, '0')},000`;
  writeFileSync(words, Array.from({ length: seconds / wordEverySecs }, (_, i) => `${i + 1}\n${stamp(i * wordEverySecs)} --> ${stamp(i * wordEverySecs + 4)}\nWord ${i}\n`).join('\n'));
  const sound = (hertz) => ['-f', 'lavfi', '-i', `sine=frequency=${hertz}:sample_rate=48000:duration=${seconds}`];
  return prepared('two-languages.mp4', [
    '-f', 'lavfi', '-i', `testsrc2=size=1280x720:rate=30:duration=${seconds}`, ...sound(tones.en), ...sound(tones.ko), '-i', words,
    '-map', '0:v', '-map', '1:a', '-map', '2:a', '-map', '3:s', '-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=kor', '-metadata:s:s:0', 'language=deu',
    '-c:v', 'libx264', '-preset', 'veryfast', '-g', '60', '-bf', '2', '-c:a', 'aac', '-ac', '2', '-c:s', 'mov_text',
  ]);
}
