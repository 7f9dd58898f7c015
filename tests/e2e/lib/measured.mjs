// Callers without a page of ours: a blank page of the server's own origin imports the client library, joins and publishes.
// A picture is judged by what getStats() says every 100 ms, and by the frames that were presented.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { runDir } from './paths.mjs';
import { until } from './process.mjs';

/** Lower and the sampling itself costs pictures on two cores; higher and a freeze of a second is measured badly. */
const SAMPLE_MS = 100;

/** A call of somebody in one browser, and what they see. */
export class MeasuredCaller {
  /** `browser` is an opened one; `url` the origin when the server is behind something else. */
  static async open(browser, server, { room, identity, url = server.https, ...options }) {
    const caller = new MeasuredCaller();
    Object.assign(caller, { browser, server, room, identity, url });
    caller.page = await browser.page();
    // Without a credential the call page does nothing, and has the rights that a call needs.
    await caller.page.goto(`${url}/call/${room}`);
    await caller.page.evaluate(installCaller, { sampleMs: SAMPLE_MS });
    caller.token = await server.callToken(room, identity, options);
    return caller;
  }

  /** Opens and joins; resolves when the server has answered. `camera`, `microphone`: what is published at once; a camera may be a size. */
  static async join(browser, server, { camera = false, microphone = false, codec, settings, ...options } = {}) {
    const caller = await MeasuredCaller.open(browser, server, options);
    await caller.join({ camera, microphone, codec, settings });
    return caller;
  }

  async join({ camera = false, microphone = false, codec, settings } = {}) {
    const { room, identity, token, url } = this;
    this.joinedAt = Date.now();
    await this.page.evaluate((options) => window.__caller.join(options), { url, room, token, name: identity, camera, microphone, codec, settings });
  }

  /** Samples since a time of `Date.now()`. */
  samples(since = 0) { return this.page.evaluate((from) => window.__caller.samples.filter(({ at }) => at >= from), since); }

  last() { return this.page.evaluate(() => window.__caller.samples.at(-1) ?? null); }

  events() { return this.page.evaluate(() => window.__caller.events); }

  /** Everything that was measured, into a file of the run: for whoever asks why. */
  async record(name = this.identity) {
    const [samples, events, said] = [await this.samples(), await this.events(), await this.page.evaluate(() => window.__caller.said)];
    writeFileSync(path.join(runDir(), `caller-${name}.json`), JSON.stringify({ samples, events, said, console: this.page.said }));
  }

  /** State of the call, its peer connections and the way they go. */
  state() { return this.page.evaluate(() => window.__caller.state()); }

  /** Whether the server leaves connectivity checks to the browser (ICE-lite, RFC 8445 §2.5), by connection. */
  iceLite() { return this.page.evaluate(() => window.__caller.remotes().map((sdp) => /^a=ice-lite\r?$/m.test(sdp))); }

  do(what, ...args) { return this.page.evaluate(([name, rest]) => window.__caller[name](...rest), [what, args]); }

  /** What is seen of somebody's camera (or another source), sample by sample. */
  async seen(identity, { since = 0, source = 'camera' } = {}) {
    return (await this.samples(since)).map(({ at, received }) => ({ at, ...received.find((each) => each.identity === identity && each.source === source) }));
  }

  async untilSeen(identity, what, predicate, timeoutMs, { source = 'camera' } = {}) {
    return until(`${this.identity} to see ${what} of ${identity}`, timeoutMs, async () => {
      const found = (await this.last())?.received.find((each) => each.identity === identity && each.source === source);
      return found && predicate(found) && found;
    }, 50);
  }

  /** Milliseconds from `from` until the first picture of somebody was decoded; null when none comes in time. */
  async firstPicture(identity, from, timeoutMs = 15_000) {
    await this.untilSeen(identity, 'a picture', ({ frames }) => frames > 0, timeoutMs).catch(() => null);
    const first = (await this.seen(identity)).find(({ frames }) => frames > 0);
    return first ? first.at - from : null;
  }

  async close() {
    await this.record(`${this.identity}-${this.joinedAt}`).catch(() => {});
    await this.page.evaluate(() => window.__caller.leave()).catch(() => {});
    await this.page.close().catch(() => {});
  }
}

/** The first time at which `predicate` is true of what is seen and stays so for `holdMs`; ms after `from`, or null. */
export function reached(seen, from, predicate, holdMs = 1000) {
  let since = null;
  for (const sample of seen) {
    if (sample.at < from) continue;
    if (sample.frames === undefined || !predicate(sample)) since = null;
    else since ??= sample.at;
    if (since !== null && sample.at - since >= holdMs) return since - from;
  }
  return null;
}

/**
 * How still the picture stood between two times: the longest time without a newly decoded frame, and the browser's own
 * count (webrtc-stats: `freezeCount`, `totalFreezesDuration`). A freeze is in the browser's count when it has ended.
 */
export function stillness(seen, from, to = Infinity) {
  const samples = seen.filter(({ at, frames }) => at >= from && at <= to && frames !== undefined);
  if (samples.length < 2) return { longest_gap_ms: Math.round(Math.min(to, Date.now()) - from), freezes: null, freezes_ms: null, longest_freeze_ms: null, frames: 0 };
  let [moved, longest, longestFreeze] = [samples[0].at, 0, 0];
  const sum = { frames: 0, freezes: 0, freezeMs: 0 };
  for (let i = 1; i < samples.length; i += 1) {
    const [before, now] = [samples[i - 1], samples[i]];
    // Who joined anew is seen by a receiver that counts from zero.
    const since = (count) => (now.frames < before.frames ? now[count] : now[count] - before[count]);
    if (since('frames') > 0) {
      // On a busy machine a sample comes late. What came in between is taken for even; a freeze in it is in the browser's count.
      longest = Math.max(longest, before.at - moved + (now.at - before.at) / since('frames'));
      moved = now.at;
    }
    if (since('freezes') > 0) longestFreeze = Math.max(longestFreeze, since('freezeMs') / since('freezes'));
    for (const count of Object.keys(sum)) sum[count] += since(count);
  }
  return {
    longest_gap_ms: Math.round(Math.max(longest, samples.at(-1).at - moved, samples[0].at - from)), freezes: sum.freezes, freezes_ms: Math.round(sum.freezeMs),
    longest_freeze_ms: Math.round(longestFreeze), frames: sum.frames, longest_presented_gap_ms: Math.round(Math.max(...samples.map(({ presentedGapMs }) => presentedGapMs ?? 0))),
  };
}

/** Bits per second between two samples. */
export function rateOf(seen, from, to = Infinity) {
  const samples = seen.filter(({ at, bytes }) => at >= from && at <= to && bytes !== undefined);
  const [first, last] = [samples[0], samples.at(-1)];
  return samples.length < 2 ? 0 : Math.round(((last.bytes - first.bytes) * 8000) / (last.at - first.at));
}

/** The sizes one after another, with how long each lasted: what a person would call the layers. */
export function sizesOf(seen) {
  const sizes = [];
  for (const { at, width, height } of seen) {
    const size = width ? `${width}x${height}` : '-';
    if (sizes.at(-1)?.size !== size) sizes.push({ size, from: at });
    sizes.at(-1).to = at;
  }
  return sizes.map(({ size, from, to }) => `${size} ${to - from} ms`);
}

/** Runs in the page. */
function installCaller({ sampleMs }) {
  const peers = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      peers.push(this);
    }
  };
  /** What of the server's own words explains a picture afterwards. */
  const WHY = ['slots', 'demand', 'bandwidth', 'media-failed'];
  const caller = { samples: [], events: [], said: [], call: null, client: null, sockets: [] };
  window.__caller = caller;
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      caller.sockets.push(this);
      this.addEventListener('message', ({ data }) => {
        const said = JSON.parse(data);
        if (WHY.includes(said.type)) caller.said.push({ at: Date.now(), ...said });
      });
    }
  };
  const note = (type, detail = {}) => caller.events.push({ at: Date.now(), type, ...detail });
  /** By the id of the browser's track: what it is of, and when its element last presented a frame. */
  const shown = new Map();

  const show = (track) => {
    for (const [id, entry] of shown) if (entry.track === track && id !== track.mediaTrack?.id) { entry.element.remove(); shown.delete(id); }
    if (!track.mediaTrack || shown.get(track.mediaTrack.id)?.track === track) return;
    shown.get(track.mediaTrack.id)?.element.remove();
    const element = document.createElement(track.kind);
    // Sound that nobody plays is not decoded.
    Object.assign(element, { autoplay: true, muted: track.kind === 'video', playsInline: true, srcObject: new MediaStream([track.mediaTrack]) });
    element.style.width = '320px';
    document.body.append(element);
    const entry = { track, element, presentedAt: null, presentedGapMs: 0 };
    const frame = () => {
      const now = performance.now();
      if (entry.presentedAt !== null) entry.presentedGapMs = Math.max(entry.presentedGapMs, now - entry.presentedAt);
      entry.presentedAt = now;
      if (element.isConnected) element.requestVideoFrameCallback(frame);
    };
    element.requestVideoFrameCallback?.(frame);
    element.play().catch(() => {});
    shown.set(track.mediaTrack.id, entry);
  };

  caller.join = async ({ url, room, token, name, camera, microphone, codec, settings }) => {
    const { connect, socketUrl } = await import(`${url}/client/v1.js`);
    caller.client = connect({ url: socketUrl(url), token });
    caller.client.onConnection((state, reason) => note('socket', { state, reason }));
    const call = caller.call = caller.client.join(room, { name });
    call.on('trackMedia', (track) => { note('trackMedia', { identity: track.participant.identity, source: track.source, flow: track.flow, layer: track.layer, mid: track.mid }); show(track); });
    call.on('trackPublished', (track) => { note('trackPublished', { identity: track.participant.identity, source: track.source }); if (settings) track.want(settings); });
    call.on('trackUnpublished', (track) => note('trackUnpublished', { identity: track.participant.identity, source: track.source }));
    call.on('participantJoined', ({ identity }) => note('participantJoined', { identity }));
    call.on('participantUpdated', ({ identity, isAway }) => note('participantUpdated', { identity, isAway }));
    call.on('participantLeft', ({ participant, reason }) => note('participantLeft', { identity: participant.identity, reason }));
    for (const type of ['state', 'mediaFailed', 'peers', 'left', 'joined', 'data']) call.on(type, (detail) => note(type, { detail }));
    let bandwidth = null;
    call.on('bandwidth', (report) => { bandwidth = report; });
    caller.bandwidth = () => bandwidth;
    if (camera || microphone) {
      const devices = { video: camera === true ? { width: 1280, height: 720 } : camera, audio: microphone };
      for (const track of (await navigator.mediaDevices.getUserMedia(devices)).getTracks()) call.publish(track, { codec });
    }
    await call.ready;
    call.report(true).catch(() => {});
    setTimeout(sample, sampleMs);
  };
  caller.leave = () => { caller.client?.close(); };
  caller.want = (identity, source, settings) => {
    for (const person of caller.call.participants.values()) if (person.identity === identity) person.track(source)?.want(settings);
  };

  const sample = async () => {
    const at = Date.now();
    const [received, sent] = [[], []];
    for (const peer of peers) {
      if (peer.connectionState === 'closed') continue;
      for (const entry of (await peer.getStats()).values()) {
        const { width, height } = { width: entry.frameWidth ?? 0, height: entry.frameHeight ?? 0 };
        if (entry.type === 'inbound-rtp') {
          const of = shown.get(entry.trackIdentifier);
          if (!of) continue;
          received.push({
            identity: of.track.participant.identity, source: of.track.source, layer: of.track.layer, flow: of.track.flow, width, height,
            frames: entry.kind === 'video' ? entry.framesDecoded ?? 0 : entry.packetsReceived, freezes: entry.freezeCount ?? 0, freezeMs: (entry.totalFreezesDuration ?? 0) * 1000,
            bytes: entry.bytesReceived, packets: entry.packetsReceived, lost: entry.packetsLost, nacks: entry.nackCount, plis: entry.pliCount, energy: entry.totalAudioEnergy,
            presentedGapMs: of.presentedGapMs, codec: entry.codecId,
          });
          of.presentedGapMs = 0;
        } else if (entry.type === 'outbound-rtp' && entry.kind === 'video') {
          sent.push({ rid: entry.rid ?? null, width, height, frames: entry.framesEncoded ?? 0, bytes: entry.bytesSent, active: entry.active, limit: entry.qualityLimitationReason });
        }
      }
    }
    caller.samples.push({ at, received, sent, bandwidth: caller.bandwidth?.() ?? null });
    setTimeout(sample, Math.max(0, sampleMs - (Date.now() - at)));
  };

  caller.state = async () => {
    const ways = [];
    // The library makes a connection before it knows the mode of the room, and closes it where it is not needed.
    for (const peer of peers.filter(({ connectionState }) => connectionState !== 'closed')) {
      const stats = [...(await peer.getStats()).values()];
      const pair = stats.find(({ id }) => id === stats.find(({ type }) => type === 'transport')?.selectedCandidatePairId) ?? stats.find((each) => each.type === 'candidate-pair' && each.selected);
      const side = (id) => { const found = stats.find((each) => each.id === id); return found && { address: found.address, port: found.port, protocol: found.protocol, type: found.candidateType }; };
      ways.push({ state: peer.connectionState, ice: peer.iceConnectionState, local: pair && side(pair.localCandidateId), remote: pair && side(pair.remoteCandidateId) });
    }
    return { call: caller.call?.state ?? null, mode: caller.call?.mode ?? null, peers: ways };
  };
  caller.remotes = () => peers.filter(({ remoteDescription }) => remoteDescription).map(({ remoteDescription }) => remoteDescription.sdp);
}
