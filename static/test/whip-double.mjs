// A WHIP and WHEP server of one answer per request, and peers whose SDP is SDP.

import { FakePeer, FakeRtc } from './rtc-double.mjs';
import { FakePlatform, settle } from './doubles.mjs';

const sdp = (kind, ufrag, lines = '') => `v=0\r\ns=${kind}\r\na=group:BUNDLE 0 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:${ufrag}\r\na=ice-pwd:${ufrag}-password\r\n${lines}a=rtpmap:96 VP8/90000\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=ice-ufrag:${ufrag}\r\na=ice-pwd:${ufrag}-password\r\n`;

export const ANSWER = sdp('answer', 'srv1', 'a=candidate:1 1 udp 1 10.0.0.1 10000 typ host\r\n');
export const CREATED = [201, ANSWER, { location: '/whx/abc', etag: '"one"', 'accept-patch': 'application/trickle-ice-sdpfrag' }];
export const RESTARTED = [200, 'a=ice-ufrag:srv2\r\na=ice-pwd:srv2-password\r\na=candidate:2 1 udp 1 10.0.0.2 10000 typ host\r\n', { etag: '"two"' }];

class SdpPeer extends FakePeer {
  offers = 0;

  async createOffer() {
    this.offers += 1;
    return { type: 'offer', sdp: sdp('offer', `cli${this.offers}`) };
  }

  gather(candidate) {
    this.onicecandidate?.({ candidate: candidate === null ? null : { candidate } });
  }
}

export class SdpRtc extends FakeRtc {
  createPeer(configuration) {
    const peer = new SdpPeer(configuration);
    this.peers.push(peer);
    return peer;
  }

  createStream() {
    return 'stream';
  }

  get peer() {
    return this.peers.at(-1);
  }
}

/** What the media tells, in order: states, retries by their code, and new media. */
export function listen(media) {
  const told = [];
  media.on('state', ({ state, error }) => told.push(error === null ? state : `${state} ${error.code}`));
  media.on('retry', ({ error, delayMs }) => told.push(`retry ${error.code} ${delayMs}`));
  media.on('media', ({ tracks }) => told.push(`media ${tracks.length}`));
  return told;
}

export function surroundings(answers) {
  const platform = new FakePlatform();
  platform.answers = answers;
  return { platform, rtc: new SdpRtc() };
}

/** Lets the offer out: no candidate comes, so the time for them passes. */
export async function offered(platform) {
  await platform.advance(250);
  await settle();
}

export const methods = (platform) => platform.requests.map(({ method, url }) => `${method} ${url}`);
