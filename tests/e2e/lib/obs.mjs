// OBS Studio under Xvfb, set up as a person sets it up: two boxes (Server, Stream Key), simple output mode, everything
// else as it comes. Its files are written to a home of its own.

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { realClip } from './clips.mjs';
import { runDir } from './paths.mjs';
import { start, until } from './process.mjs';

/** Far above what Xvfb needs until its screen is there. */
const SCREEN_MS = 10_000;

/**
 * Starts OBS streaming to `server` with `key`. `keyframeSeconds: 0` is OBS's own "auto", which is 250 frames;
 * anything else uses the advanced output mode, where the interval can be set.
 */
export async function startObs({ server, key, keyframeSeconds = 0, name = 'obs', fps = 30, preset = 'ultrafast' }) {
  const home = path.join(runDir(), `${name}-home`);
  const config = path.join(home, '.config/obs-studio');
  const profile = path.join(config, 'basic/profiles/Telstar');
  mkdirSync(profile, { recursive: true });
  mkdirSync(path.join(config, 'basic/scenes'), { recursive: true });
  const clip = await realClip();
  writeFileSync(path.join(config, 'global.ini'), ini({
    General: { FirstRun: true, LastVersion: 486539266, EnableAutoUpdates: false, Pre19Defaults: false, Pre21Defaults: false, Pre23Defaults: false, 'Pre24.1Defaults': false },
    Basic: { Profile: 'Telstar', ProfileDir: 'Telstar', SceneCollection: 'Telstar', SceneCollectionFile: 'Telstar', ConfigOnNewProfile: false },
    BasicWindow: { SysTrayEnabled: true, SysTrayWhenStarted: true, WarnBeforeStartingStream: false },
  }));
  writeFileSync(path.join(profile, 'basic.ini'), ini({
    General: { Name: 'Telstar' },
    Output: { Mode: keyframeSeconds ? 'Advanced' : 'Simple', Reconnect: true, RetryDelay: 2, MaxRetries: 25 },
    SimpleOutput: { StreamEncoder: 'x264', VBitrate: 1200, ABitrate: 128, Preset: preset, UseAdvanced: false },
    AdvOut: { Encoder: 'obs_x264', TrackIndex: 1, ApplyServiceSettings: false },
    Video: { BaseCX: 854, BaseCY: 480, OutputCX: 854, OutputCY: 480, FPSType: 0, FPSCommon: String(fps) },
    Audio: { SampleRate: 48000, ChannelSetup: 'Stereo' },
  }));
  writeFileSync(path.join(profile, 'service.json'), JSON.stringify({ type: 'rtmp_custom', settings: { server, key, use_auth: false, bwtest: false } }));
  if (keyframeSeconds) writeFileSync(path.join(profile, 'streamEncoder.json'), JSON.stringify({ keyint_sec: keyframeSeconds, bitrate: 1200, preset: 'ultrafast', rate_control: 'CBR' }));
  writeFileSync(path.join(config, 'basic/scenes/Telstar.json'), JSON.stringify(scene(clip)));

  // Xvfb takes a free number and says it: one that was killed leaves its number locked.
  let display;
  const screen = start(`${name}-xvfb`, 'Xvfb', ['-displayfd', '1', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], { onLine: (line, from) => { if (from === 'stdout') display = `:${line}`; } });
  await until('a virtual screen', SCREEN_MS, () => display);
  const obs = start(name, 'obs', ['--startstreaming', '--profile', 'Telstar', '--collection', 'Telstar', '--minimize-to-tray', '--disable-updater', '--multi'], {
    env: { HOME: home, XDG_CONFIG_HOME: path.join(home, '.config'), XDG_RUNTIME_DIR: home, DISPLAY: display, LIBGL_ALWAYS_SOFTWARE: '1', QT_QPA_PLATFORM: 'xcb' },
  });
  const stopObs = obs.stop;
  obs.stop = async (...how) => { await stopObs(...how); await screen.stop(); };
  return obs;
}

const ini = (sections) => Object.entries(sections).map(([name, values]) => `[${name}]\n${Object.entries(values).map(([k, v]) => `${k}=${v}`).join('\n')}\n`).join('\n');

/** One scene with the real clip in a loop, its sound in the mix. */
function scene(clip) {
  return {
    name: 'Telstar', current_scene: 'Scene', current_program_scene: 'Scene', scene_order: [{ name: 'Scene' }],
    sources: [
      {
        id: 'ffmpeg_source', versioned_id: 'ffmpeg_source', name: 'Clip', enabled: true, muted: false, volume: 1.0, mixers: 255, sync: 0, flags: 0,
        settings: { is_local_file: true, local_file: clip, looping: true, restart_on_activate: true, hw_decode: false },
      },
      {
        id: 'scene', versioned_id: 'scene', name: 'Scene', enabled: true, mixers: 0,
        settings: {
          id_counter: 1, custom_size: false,
          items: [{
            name: 'Clip', id: 1, visible: true, locked: false, rot: 0.0, pos: { x: 0.0, y: 0.0 }, scale: { x: 1.0, y: 1.0 }, align: 5,
            bounds_type: 2, bounds_align: 0, bounds: { x: 854.0, y: 480.0 }, crop_left: 0, crop_top: 0, crop_right: 0, crop_bottom: 0,
          }],
        },
      },
    ],
    transitions: [], current_transition: 'Cut', transition_duration: 300, groups: [], modules: {},
  };
}
