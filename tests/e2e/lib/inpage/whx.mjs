// WHIP and WHEP as a page speaks them without a library: one offer with all candidates, one answer, DELETE at the end.

/** Longer and a page without a network would hang; candidates of this machine are there within milliseconds. */
const GATHERING_MAX_MS = 2000;

/** Publishes a stream. `codec` is a name such as `VP8`; `encodings` those of simulcast. */
export async function publish({ url, token, stream, codec, encodings, maxKbps = 1500 }) {
  const peer = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const sendEncodings = track.kind === 'video' ? (encodings ?? [{ maxBitrate: maxKbps * 1000 }]) : undefined;
    const transceiver = peer.addTransceiver(track, { direction: 'sendonly', streams: [stream], ...(sendEncodings && { sendEncodings }) });
    if (track.kind === 'video') {
      prefer(transceiver, codec, RTCRtpSender);
      const parameters = transceiver.sender.getParameters();
      parameters.degradationPreference = 'maintain-resolution';
      await transceiver.sender.setParameters(parameters).catch(() => {});
    }
  }
  return exchange(peer, url, token);
}

/** Watches into a video element. `codec` alone is offered when it is given. */
export async function view({ url, token, video, codec, kinds = ['video', 'audio'] }) {
  const peer = new RTCPeerConnection();
  const stream = new MediaStream();
  peer.addEventListener('track', ({ track }) => { stream.addTrack(track); if (video) video.srcObject = stream; });
  for (const kind of kinds) {
    const transceiver = peer.addTransceiver(kind, { direction: 'recvonly' });
    if (kind === 'video') prefer(transceiver, codec, RTCRtpReceiver);
  }
  return exchange(peer, url, token);
}

/** Offers one codec and what belongs to it. */
function prefer(transceiver, codec, { getCapabilities }) {
  if (!codec) return;
  const wanted = getCapabilities.call(null, 'video').codecs.filter(({ mimeType }) => new RegExp(`/(${codec}|rtx|red|ulpfec)$`, 'i').test(mimeType));
  transceiver.setCodecPreferences(wanted);
}

async function exchange(peer, url, token) {
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  await peer.setLocalDescription();
  await new Promise((resolve) => {
    const check = () => peer.iceGatheringState === 'complete' && resolve();
    peer.addEventListener('icegatheringstatechange', check);
    setTimeout(resolve, GATHERING_MAX_MS);
    check();
  });
  const askedAt = performance.now();
  const response = await fetch(url, { method: 'POST', headers: { ...authorization, 'content-type': 'application/sdp' }, body: peer.localDescription.sdp });
  const text = await response.text();
  if (response.status !== 201) {
    peer.close();
    throw new Error(`${response.status} ${text.slice(0, 300)}`);
  }
  const answeredAt = performance.now();
  await peer.setRemoteDescription({ type: 'answer', sdp: text });
  // A session is at an address of the endpoint's own, however it is written.
  const session = new URL(response.headers.get('location'), url).href;
  return {
    peer, session, answer: text, askedAt, answeredAt, etag: response.headers.get('etag'),
    async close() {
      const { status } = await fetch(session, { method: 'DELETE', headers: authorization });
      peer.close();
      return status;
    },
  };
}

/** A sum that grows with each of so many, in seconds. */
const sum = (seconds, count) => (seconds === undefined ? undefined : { seconds, count });

/** What `getStats` says of the media, as plain figures. */
export async function figures(peer) {
  const all = [...(await peer.getStats()).values()];
  const codec = ({ codecId }) => all.find(({ id }) => id === codecId)?.mimeType ?? null;
  return {
    state: peer.connectionState,
    streams: all.filter(({ type }) => type === 'inbound-rtp' || type === 'outbound-rtp').map((one) => ({
      direction: one.type === 'inbound-rtp' ? 'received' : 'sent', kind: one.kind, rid: one.rid, codec: codec(one), bytes: one.bytesReceived ?? one.bytesSent, packets: one.packetsReceived ?? one.packetsSent,
      lost: one.packetsLost, frames: one.framesDecoded ?? one.framesEncoded, keyframes: one.keyFramesDecoded ?? one.keyFramesEncoded, freezes: one.freezeCount, freeze_seconds: one.totalFreezesDuration,
      jitter_buffer: sum(one.jitterBufferDelay, one.jitterBufferEmittedCount), encoding: sum(one.totalEncodeTime, one.framesEncoded), pacing: sum(one.totalPacketSendDelay, one.packetsSent), decoding: sum(one.totalDecodeTime, one.framesDecoded), assembly: sum(one.totalAssemblyTime, one.framesAssembledFromMultiplePackets),
      width: one.frameWidth, height: one.frameHeight, energy: one.totalAudioEnergy, concealed: one.concealedSamples, samples: one.totalSamplesReceived, plis: one.pliCount, jitter_buffer_seconds: one.jitterBufferDelay && one.jitterBufferEmittedCount ? one.jitterBufferDelay / one.jitterBufferEmittedCount : undefined,
    })),
  };
}
