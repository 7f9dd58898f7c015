// What a viewer sees, measured inside the page from the <video> element alone: when the first frame came, when the
// picture stood still, how far behind it is. Independent of the player that drives the element.

/** A picture that stands still for this long is a stall. Lower and a late timer on a busy machine looks like one. */
export const STALL_MS = 300;

/**
 * It plays once the picture has moved on by this much. A browser shows the first frame while it still decodes up to it
 * and its neighbours: what it stands still there belongs to the start, and makes that later.
 */
export const PLAYING_MS = 100;

/**
 * Runs in the page before its own scripts. Everything it learns is in `window.__probe`. Times are milliseconds since
 * navigation began, from the page's own clock.
 */
export function installProbe({ stallMs, playingMs, bits, cell }) {
  const probe = {
    firstFrameMs: null, firstFrameWall: null, playingMs: null, stalls: [], jumps: [], waiting: 0, errors: [], ended: false,
    frames: 0, playedMs: 0, latencies: [], pictureLatencies: [], now: () => performance.now(),
  };
  window.__probe = probe;
  let video = null;
  let last = null;
  let shownAt = null;
  let frozenMs = 0;
  let frozenFrom = 0;

  const attach = (element) => {
    video = element;
    last = null;
    shownAt = null;
    const note = (type) => video.addEventListener(type, () => { if (probe.playingMs !== null && type === 'waiting') probe.waiting += 1; });
    note('waiting');
    video.addEventListener('error', () => probe.errors.push(video.error?.message ?? 'media error'));
    video.addEventListener('ended', () => { probe.ended = true; });
    const frame = () => {
      probe.frames += 1;
      if (probe.firstFrameMs === null && !video.paused) {
        probe.firstFrameMs = performance.now();
        probe.firstFrameWall = Date.now();
      }
      video.requestVideoFrameCallback(frame);
    };
    video.requestVideoFrameCallback(frame);
  };

  const tick = () => {
    const element = document.querySelector('video');
    if (element && element !== video) attach(element);
    if (!video || probe.firstFrameMs === null) return;
    const now = performance.now();
    const at = video.currentTime;
    if (probe.playingMs === null) {
      // A player that still looks for its place has not begun.
      if (shownAt === null || last === null || Math.abs(at - last.at) > 0.5) shownAt = at;
      if ((at - shownAt) * 1000 >= playingMs) probe.playingMs = now;
    } else if (last) {
      const wall = now - last.now;
      const moved = (at - last.at) * 1000 / (video.playbackRate || 1);
      if (moved > wall + 500 || moved < -100) probe.jumps.push({ atMs: Math.round(now), byMs: Math.round(moved - wall) });
      else probe.playedMs += Math.max(0, moved);
      // A page whose timers ran late sees a long step in which the picture moved on all the same: not frozen.
      if (moved < wall / 2) {
        if (frozenMs === 0) frozenFrom = last.now;
        frozenMs += wall - Math.max(0, moved);
      } else {
        if (frozenMs >= stallMs) probe.stalls.push({ atMs: Math.round(frozenFrom), ms: Math.round(frozenMs) });
        frozenMs = 0;
      }
    }
    probe.frozenNowMs = Math.round(frozenMs);
    last = { now, at };
  };
  setInterval(tick, 50);

  /** The frame number drawn into the picture, or null when it cannot be read. */
  const canvas = document.createElement('canvas');
  probe.readPicture = () => {
    if (!video?.videoWidth) return null;
    canvas.width = bits * cell;
    canvas.height = 2 * cell;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    const wall = Date.now();
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const light = (row) => context.getImageData(bit * cell + cell / 2, row * cell + cell / 2, 1, 1).data[1];
      const [top, bottom] = [light(0), light(1)];
      if (Math.abs(top - bottom) < 80) return null;
      if (top > bottom) number += 2 ** bit;
    }
    return { number, wall };
  };
  /** Seconds behind live as the player says; pages of ours and of the test server offer it in different places. */
  probe.readLatency = () => {
    const said = window.__telstar?.latencySecs ?? window.__latency;
    const value = typeof said === 'function' ? said() : said;
    return Number.isFinite(value) ? value : null;
  };
  probe.snapshot = () => ({
    firstFrameMs: probe.firstFrameMs, playingMs: probe.playingMs, stalls: [...probe.stalls, ...(frozenMs >= stallMs ? [{ atMs: Math.round(frozenFrom), ms: Math.round(frozenMs), open: true }] : [])],
    jumps: probe.jumps, waiting: probe.waiting, errors: probe.errors, ended: probe.ended, frames: probe.frames,
    playedMs: Math.round(probe.playedMs), currentTime: video?.currentTime ?? null, paused: video?.paused ?? null,
    readyState: video?.readyState ?? null, width: video?.videoWidth ?? 0, height: video?.videoHeight ?? 0, rate: video?.playbackRate ?? null,
    dropped: video?.getVideoPlaybackQuality?.().droppedVideoFrames ?? null, latency: probe.readLatency(),
    buffered: video ? Array.from({ length: video.buffered.length }, (_, i) => [video.buffered.start(i), video.buffered.end(i)]) : [],
    timeOrigin: performance.timeOrigin, nowMs: performance.now(), href: location.href,
    page: window.__telstar ? { state: window.__telstar.state, stalls: window.__telstar.stalls, rebuilds: window.__telstar.rebuilds, failures: window.__telstar.failures, firstFrameMs: window.__telstar.firstFrameMs } : null,
  });
}
