// A peer connection that answers at once and remembers what it was told. Its SDP is JSON, so that tests can read it.

let lastTrack = 0;

export class FakeTrack {
  enabled = true;
  readyState = 'live';

  constructor(kind, settings = {}) {
    lastTrack += 1;
    this.id = `media-${lastTrack}`;
    this.kind = kind;
    this.settings = settings;
  }

  getSettings() {
    return this.settings;
  }
}

class FakeSender {
  setCalls = 0;
  refuseNext = 0;

  constructor(track, encodings) {
    this.track = track;
    this.encodings = encodings.map((encoding) => ({ active: true, ...encoding }));
  }

  async replaceTrack(track) {
    this.track = track;
  }

  getParameters() {
    return { transactionId: String(this.setCalls), encodings: this.encodings.map((encoding) => ({ ...encoding })) };
  }

  /** What of the parameters belongs to no encoding. */
  preference = undefined;

  async setParameters(parameters) {
    this.setCalls += 1;
    if (this.refuseNext > 0) {
      this.refuseNext -= 1;
      throw new Error('InvalidModificationError');
    }
    this.encodings = parameters.encodings;
    this.preference = parameters.degradationPreference;
  }
}

class FakeTransceiver {
  mid = null;
  isStopped = false;
  codecs = null;

  constructor(trackOrKind, init) {
    const isKind = typeof trackOrKind === 'string';
    this.kind = isKind ? trackOrKind : trackOrKind.kind;
    this.direction = init.direction;
    this.sender = new FakeSender(isKind ? null : trackOrKind, init.sendEncodings ?? [{}]);
    this.receiver = { track: new FakeTrack(this.kind) };
    this.init = init;
  }

  stop() {
    this.isStopped = true;
  }

  setCodecPreferences(codecs) {
    this.codecs = codecs;
  }
}

export class FakeChannel {
  readyState = 'connecting';
  bufferedAmount = 0;
  binaryType = 'blob';
  sent = [];
  onmessage = null;

  constructor(label, init) {
    this.label = label;
    this.init = init;
  }

  send(data) {
    this.sent.push(data);
  }

  close() {}
}

export class FakePeer {
  connectionState = 'new';
  signalingState = 'stable';
  localDescription = null;
  remoteDescription = null;
  transceivers = [];
  channels = [];
  candidates = [];
  log = [];
  iceRestarts = 0;
  isClosed = false;
  #pending = null;
  #mids = 0;
  #generation = 0;
  #isNeeded = false;

  constructor(configuration) {
    this.configuration = configuration;
  }

  addTransceiver(trackOrKind, init) {
    const transceiver = new FakeTransceiver(trackOrKind, init);
    this.transceivers.push(transceiver);
    this.#needNegotiation();
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers.filter(({ isStopped }) => !isStopped);
  }

  createDataChannel(label, init) {
    const channel = new FakeChannel(label, init);
    this.channels.push(channel);
    this.#needNegotiation();
    return channel;
  }

  async createOffer() {
    this.#generation += 1;
    return { type: 'offer', sdp: JSON.stringify({ offer: this.#generation }) };
  }

  async createAnswer() {
    return { type: 'answer', sdp: JSON.stringify({ answer: JSON.parse(this.remoteDescription.sdp) }) };
  }

  async setLocalDescription(given) {
    const description = given ?? (this.signalingState === 'have-remote-offer' ? await this.createAnswer() : await this.createOffer());
    this.log.push(`local ${description.type}`);
    if (description.type === 'rollback') {
      this.localDescription = this.#pending;
      this.signalingState = 'stable';
      return;
    }
    this.#pending = this.localDescription;
    this.localDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
    for (const transceiver of this.getTransceivers()) transceiver.mid ??= String(this.#mids++);
    this.#fireNeeded();
  }

  async setRemoteDescription(description) {
    // An offer on top of our own rolls ours back by itself (W3C webrtc-pc §4.4.1.5).
    if (description.type === 'offer' && this.signalingState === 'have-local-offer') this.log.push('implicit rollback');
    this.log.push(`remote ${description.type}`);
    if (description.type === 'answer' && this.signalingState !== 'have-local-offer') throw new Error('InvalidStateError');
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
    for (const mid of sectionsOf(description.sdp)) {
      if (this.transceivers.some((transceiver) => transceiver.mid === mid)) continue;
      const transceiver = new FakeTransceiver('video', { direction: 'recvonly' });
      transceiver.mid = mid;
      this.transceivers.push(transceiver);
    }
    this.#fireNeeded();
  }

  async addIceCandidate(candidate) {
    if (this.remoteDescription === null) throw new Error('InvalidStateError');
    this.candidates.push(candidate);
  }

  setConfiguration(configuration) {
    this.configuration = configuration;
  }

  restartIce() {
    this.iceRestarts += 1;
    this.#needNegotiation();
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.isClosed = true;
    this.connectionState = 'closed';
  }

  /** What the network did. */
  become(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.({});
  }

  /** Fired once for all changes of a turn, and only while nothing is under way (W3C webrtc-pc §4.7.3). */
  #needNegotiation() {
    this.#isNeeded = true;
    queueMicrotask(() => this.#fireNeeded());
  }

  #fireNeeded() {
    if (!this.#isNeeded || this.isClosed || this.signalingState !== 'stable') return;
    this.#isNeeded = false;
    this.onnegotiationneeded?.({});
  }
}

/** The offers of the tests' server name their sections: `{"mids": ["0", "1"]}`. */
function sectionsOf(sdp) {
  try {
    return JSON.parse(sdp).mids ?? [];
  } catch {
    return [];
  }
}

export class FakeRtc {
  peers = [];
  codecs = ['video/VP9', 'video/VP8', 'video/rtx', 'video/H264', 'video/AV1'].map((mimeType) => ({ mimeType, clockRate: 90_000 }));

  createPeer(configuration) {
    const peer = new FakePeer(configuration);
    this.peers.push(peer);
    return peer;
  }

  sendCodecs() {
    return this.codecs;
  }
}
