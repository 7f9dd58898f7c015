/**
 * What the library needs of WebRTC, described structurally: it compiles without the DOM, runs in pages, and in tests on doubles.
 * Where the DOM's types are there, `MediaTrack` is the browser's own `MediaStreamTrack`.
 */

export interface MediaTrackLike {
  readonly id: string;
  readonly kind: string;
  readonly readyState: string;
  enabled: boolean;
  getSettings?(): { width?: number; height?: number; frameRate?: number };
}

export type MediaTrack = typeof globalThis extends { MediaStreamTrack: { prototype: infer T extends MediaTrackLike } } ? T : MediaTrackLike;

export interface EncodingLike {
  rid?: string;
  active?: boolean;
  maxBitrate?: number;
  maxFramerate?: number;
  scaleResolutionDownBy?: number;
  scalabilityMode?: string;
}

export interface SendParametersLike {
  encodings: EncodingLike[];
  degradationPreference?: 'balanced' | 'maintain-framerate' | 'maintain-resolution';
  [field: string]: unknown;
}

export interface SenderLike {
  readonly track: MediaTrackLike | null;
  replaceTrack(track: MediaTrackLike | null): Promise<void>;
  getParameters(): SendParametersLike;
  setParameters(parameters: SendParametersLike): Promise<unknown>;
}

export interface CodecLike {
  mimeType: string;
  clockRate: number;
  channels?: number;
  sdpFmtpLine?: string;
}

export interface TransceiverLike {
  readonly mid: string | null;
  readonly sender: SenderLike;
  readonly receiver: { readonly track: MediaTrackLike };
  direction: string;
  stop(): void;
  setCodecPreferences?(codecs: CodecLike[]): void;
}

export interface DescriptionLike {
  type: 'offer' | 'answer' | 'pranswer' | 'rollback';
  sdp?: string | undefined;
}

export interface CandidateLike {
  candidate: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
  usernameFragment?: string | null;
}

export interface DataChannelLike {
  readonly label: string;
  readonly readyState: string;
  readonly bufferedAmount: number;
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: Uint8Array): void;
  close(): void;
}

/** An entry of `getStats()`; its fields depend on `type` (W3C webrtc-stats). */
export interface StatsEntry {
  id: string;
  type: string;
  timestamp: number;
  [field: string]: unknown;
}

export interface StatsReportLike {
  forEach(callback: (entry: StatsEntry) => void): void;
}

export interface TransceiverInit {
  direction: string;
  sendEncodings?: EncodingLike[];
  /** The `MediaStream` that the track is announced in. */
  streams?: unknown[];
}

export interface PeerLike {
  readonly connectionState: string;
  readonly signalingState: string;
  readonly localDescription: { type: string; sdp: string } | null;
  readonly remoteDescription: { type: string; sdp: string } | null;
  onicecandidate: ((event: { candidate: CandidateLike | null }) => void) | null;
  onconnectionstatechange: ((event: never) => void) | null;
  onnegotiationneeded: ((event: never) => void) | null;
  ondatachannel: ((event: { channel: DataChannelLike }) => void) | null;
  addTransceiver(trackOrKind: MediaTrackLike | string, init: TransceiverInit): TransceiverLike;
  getTransceivers(): TransceiverLike[];
  createOffer(): Promise<DescriptionLike>;
  createAnswer(): Promise<DescriptionLike>;
  /** Without an argument the browser makes the description that is due (perfect negotiation). */
  setLocalDescription(description?: DescriptionLike): Promise<void>;
  setRemoteDescription(description: DescriptionLike): Promise<void>;
  addIceCandidate(candidate: CandidateLike): Promise<void>;
  createDataChannel(label: string, init: { ordered: boolean; maxRetransmits: number }): DataChannelLike;
  setConfiguration(configuration: PeerConfiguration): void;
  restartIce(): void;
  getStats(): Promise<StatsReportLike>;
  close(): void;
}

export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

export interface PeerConfiguration {
  iceServers: IceServer[];
  bundlePolicy: 'max-bundle';
}

export interface Rtc {
  createPeer(configuration: PeerConfiguration): PeerLike;
  /** The codecs that can be sent, in the browser's order. */
  sendCodecs(kind: 'audio' | 'video'): CodecLike[];
  /** An empty `MediaStream`, which makes tracks that are sent belong together. */
  createStream?(): unknown;
}

interface RtcGlobals {
  RTCPeerConnection?: new (configuration: PeerConfiguration) => PeerLike;
  MediaStream?: new () => unknown;
  RTCRtpSender?: { getCapabilities?(kind: string): { codecs: CodecLike[] } | null };
}

/** The browser's WebRTC. Throws only when it is used where there is none. */
export function defaultRtc(): Rtc {
  const globals = globalThis as unknown as RtcGlobals;
  return {
    createPeer(configuration) {
      if (globals.RTCPeerConnection === undefined) throw new Error('this environment has no WebRTC');
      return new globals.RTCPeerConnection(configuration);
    },
    sendCodecs: (kind) => globals.RTCRtpSender?.getCapabilities?.(kind)?.codecs ?? [],
    createStream: () => (globals.MediaStream === undefined ? null : new globals.MediaStream()),
  };
}
