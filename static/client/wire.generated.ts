/**
 * The messages of `/ws` (subprotocol `telstar.v1`), generated from the server's code: do not edit.
 * `UPDATE_GOLDEN=1 cargo test -p telstar-signaling` writes this file anew.
 */

/** The fields of `answer`. */
export type Answer = {
  /** The answer. */ sdp: string;
  /** Of the offer that is answered. */ version: number;
};

/** What the path to a client carries. */
export type Bandwidth = {
  /** What is allocated. */ allocated_bps: number;
  /** What the estimator believes, in bits per second. */ estimate_bps: number;
  /** Share of packets lost, 0 to 1. */ loss: number | null;
  /** Round trip time in milliseconds. */ round_trip_ms: number | null;
  /** What was sent in the last second. */ sent_bps: number;
};

/** What a participant may do in the call. */
export type CallGrant = ("publish" | "subscribe" | "chat" | "admin");

/** A request of a call, without its id. */
export type CallRequest = (Join & {
  type: "join";
} | Leave & {
  type: "leave";
} | Publish & {
  type: "publish";
} | Unpublish & {
  type: "unpublish";
} | UpdateTrack & {
  type: "update-track";
} | Mute & {
  type: "mute";
} | CandidateFor & {
  type: "candidate";
} | Answer & {
  type: "answer";
} | RestartIce & {
  type: "restart-ice";
} | UpdateSubscription & {
  type: "update-subscription";
} | UpdateParticipant & {
  type: "update-participant";
} | Remove & {
  type: "remove";
} | SendData & {
  type: "send-data";
} | Report & {
  type: "report";
} | Signal & {
  type: "signal";
});

/** The state of the topic `call:{room}`. */
export type CallState = {
  /** How its media travels. */ mode: Mode;
  /** The room's name. */ name: string;
  /** Everybody, the one who reads this included, in the order in which they came. */ participants: Participant[];
  /** Its title. */ title: string;
};

/** The fields of `candidate`. */
export type CandidateFor = {
  /** `candidate:…`, or empty for the end of the candidates. */ candidate: string;
  /** Of which peer connection. */ connection: MediaConnection;
};

/** What a client may call itself. */
export type ClientKind = ("browser" | "device");

export type ClientMessage = ({
  id: RequestId;
} & Request | {
  id: RequestId;
} & CallRequest);

/** A track that is converted, once however many watch it. */
export type Conversion = {
  /** Of one core, over the last second or so. */ cpu_percent: number;
  /** Why it does not run, with the remedy if there is one; for people. */ error: string | null;
  /** From which codec, for people: `AAC`. */ from: string;
  /** How it is. */ state: ConversionState;
  /** To which, for people: `Opus`. */ to: string;
};

/** How a conversion is. */
export type ConversionState = ("starting" | "running" | "waiting");

/** Which layers of an own track somebody wants. */
export type Demand = {
  /** The layers that are wanted; empty without layers. */ rids: string[];
  /** The track. */ track: TrackId;
  /** Whether anything of it is wanted. */ wanted: boolean;
};

/** A session description between two browsers. */
export type Description = {
  /** The SDP; absent in a rollback. */ sdp: string;
  /** What it is. */ type: DescriptionKind;
};

/** What a session description is (W3C WebRTC, `RTCSdpType`). */
export type DescriptionKind = ("offer" | "pranswer" | "answer" | "rollback");

/** A session description between two browsers. */
export type DescriptionRequest = {
  /** The SDP; absent in a rollback. */ sdp?: string;
  /** What it is. */ type: DescriptionKind;
};

/** Why a request failed. */
export type ErrorBody = {
  /** For programs; stable. */ code: ErrorCode;
  /** For people; may change. */ detail: string;
};

/** The stable codes of failed requests. */
export type ErrorCode = ("unknown_type" | "bad_request" | "not_found" | "unauthorised" | "rate_limited" | "too_many_subscriptions" | "busy" | "cancelled" | "unavailable" | "forbidden" | "already_joined" | "not_joined" | "gone" | "room_full" | "too_many_tracks" | "bad_sdp" | "no_codec" | "wrong_mode");

/** One event of a topic, without `seq`: that is each connection's own and is written in front when the event leaves. */
export type EventOfCallEventKind = {
  /** The topic's epoch. */ epoch?: number | null;
  /** The event's position in the topic. */ offset?: number | null;
  /** The topic. */ topic: string;
} & ({
  /** Who. */ participant: Participant;
  type: "participant-joined";
} | {
  /** What it is now. */ participant: ParticipantInfo;
  type: "participant-updated";
} | {
  /** Who. */ participant: ParticipantId;
  /** Why. */ reason: LeaveReason;
  type: "participant-left";
} | {
  /** Whose. */ participant: ParticipantId;
  /** Which. */ track: Track;
  type: "track-published";
} | {
  /** Whose. */ participant: ParticipantId;
  /** What it is now. */ track: Track;
  type: "track-updated";
} | {
  /** Whose. */ participant: ParticipantId;
  /** Which. */ track: TrackId;
  type: "track-unpublished";
} | {
  /** The SDP. */ sdp: string;
  type: "offer";
  /** To be given back. */ version: number;
} | {
  /** `candidate:…`, or empty for the end of the candidates. */ candidate: string;
  /** Of which peer connection. */ connection: MediaConnection;
  type: "candidate";
} | {
  /** Every section. */ slots: Slot[];
  type: "slots";
  /** Grows with each change. */ version: number;
} | {
  /** Every own track whose demand is known. */ tracks: Demand[];
  type: "demand";
} | {
  /** Everybody who speaks. */ speakers: Speaker[];
  type: "speakers";
} | {
  /** Those that changed. */ participants: ParticipantQuality[];
  type: "quality";
} | {
  /** What it says. */ data: unknown;
  /** Whose; null for the server's. */ from: (ParticipantId | null);
  /** What it is about. */ label?: string | null;
  type: "data";
} | Bandwidth & {
  type: "bandwidth";
} | {
  /** Which. */ connection: MediaConnection;
  /** Why. */ reason: MediaFault;
  type: "media-failed";
} | {
  /** Its candidate. */ candidate?: (IceCandidate | null);
  /** Its session description. */ description?: (Description | null);
  /** Whose. */ from: ParticipantId;
  type: "signal";
} | {
  /** What it may do now. */ grants: CallGrant[];
  type: "grants";
} | {
  /** Why. */ reason: LeaveReason;
  type: "left";
});

/** One event of a topic, without `seq`: that is each connection's own and is written in front when the event leaves. */
export type EventOfEventKind = {
  /** The topic's epoch. */ epoch?: number | null;
  /** The event's position in the topic. */ offset?: number | null;
  /** The topic. */ topic: string;
} & ({
  /** The state. */ state: TopicState;
  type: "state";
} | {
  /** The room. */ room: Room;
  type: "room";
} | {
  /** Its name. */ name: string;
  type: "room-deleted";
} | {
  type: "ended";
});

/** Whether media flows in a section, and why not. */
export type Flow = ("active" | "paused" | "bandwidth" | "silent" | "codec");

/** A candidate between two browsers. */
export type IceCandidate = {
  /** `candidate:…`, or empty for the end of the candidates. */ candidate: string;
  /** The number of its media section. */ sdpMLineIndex: number | null;
  /** Its media section. */ sdpMid: string | null;
  /** The ICE generation that it belongs to; browsers write up to 256 characters (RFC 8839 §5.4). */ usernameFragment: string | null;
};

/** A candidate between two browsers. */
export type IceCandidateRequest = {
  /** `candidate:…`, or empty for the end of the candidates. */ candidate: string;
  /** The number of its media section. */ sdpMLineIndex?: number | null;
  /** Its media section. */ sdpMid?: string | null;
  /** The ICE generation that it belongs to; browsers write up to 256 characters (RFC 8839 §5.4). */ usernameFragment?: string | null;
};

/** A STUN or TURN server (the browser's `RTCIceServer`). */
export type IceServer = {
  /** For TURN. */ credential?: string | null;
  /** `stun:…`, `turn:…`. */ urls: string[];
  /** For TURN. */ username?: string | null;
};

/** What the encoder sends. */
export type Ingest = {
  /** Frames that the server dropped. */ dropped_frames: number;
  /** What the encoder calls itself. */ encoder: string | null;
  /** `rtmp`. */ protocol: string;
  /** Its tracks. */ tracks: IngestTrack[];
};

/** One track of the encoder. What is not known yet is null. */
export type IngestTrack = ({
  /** Whether frames come in another order than they are shown. */ b_frames: boolean;
  /** Bits per second, measured. */ bitrate_bps: number | null;
  /** For people: `H.264`. */ codec: string;
  /** Frames per second, measured. */ frame_rate: number | null;
  /** Pixels. */ height: number | null;
  /** Seconds between the latest keyframes. */ keyframe_interval_secs: number | null;
  kind: "video";
  /** RFC 6381: `avc1.64001f`. */ rfc6381: string;
  /** Pixels. */ width: number | null;
} | {
  /** Bits per second, measured. */ bitrate_bps: number | null;
  /** Channels. */ channels: number;
  /** For people: `AAC`. */ codec: string;
  kind: "audio";
  /** RFC 6381: `mp4a.40.2`. */ rfc6381: string;
  /** Hertz. */ sample_rate: number;
});

/** The fields of `join`. */
export type Join = {
  /** Whether every track is received without asking. */ auto_subscribe?: boolean;
  /** What joins; an encoder joins by publishing. */ kind?: ClientKind;
  /** The application's own; without it the credential's. */ metadata?: string | null;
  /** For people; without it the credential's. */ name?: (Name | null);
  /** The room's name. */ room: string;
};

/** One simulcast layer, as its publisher announces it. */
export type Layer = {
  /** Bits per second; 0 when unknown. */ bitrate_bps: number;
  /** Frames per second. */ frame_rate: number;
  /** Pixels. */ height: number;
  /** `a=rid` (RFC 8851). */ rid: string;
  /** Pixels. */ width: number;
};

/** One simulcast layer, as its publisher announces it. */
export type LayerRequest = {
  /** Bits per second; 0 when unknown. */ bitrate_bps?: number;
  /** Frames per second. */ frame_rate?: number;
  /** Pixels. */ height?: number;
  /** `a=rid` (RFC 8851). */ rid: string;
  /** Pixels. */ width?: number;
};

/** The fields of `leave`. */
export type Leave = object;

/** Why a participant is not in the call any more. */
export type LeaveReason = ("left" | "removed" | "duplicate-identity" | "room-deleted" | "credential-ended" | "timeout" | "shutdown" | "slow");

/** What a room's main picture is doing. */
export type LiveState = ("offline" | "waiting" | "live" | "reconnecting");

/** Which of a participant's two peer connections. */
export type MediaConnection = ("publish" | "subscribe");

/** Why a peer connection was given up, or an offer or an answer was not taken. */
export type MediaFault = ("no_path" | "handshake" | "bad_sdp" | "no_codec" | "too_many" | "internal");

/** How a room's media travels; fixed when the room is made. */
export type Mode = ("sfu" | "p2p");

/** The fields of `mute`. */
export type Mute = {
  /** A moderator can only mute. */ muted: boolean;
  /** Which: an own one, or for a moderator any. */ track: TrackId;
};

/** Who muted a track. */
export type MutedBy = ("self" | "moderator");

/** The name of a participant or a track for people: NFC, at most 100 characters, nothing that changes how it is laid out. */
export type Name = string;

/** One connected identity. */
export type Participant = {
  /** What it may do. */ grants: CallGrant[];
  /** Its id. */ id: ParticipantId;
  /** Who it is: the same person on two devices, or coming back, has one identity and two ids. */ identity: string;
  /** RFC 3339. */ joined_at: string;
  /** What it is. */ kind: ParticipantKind;
  /** The application's own. */ metadata: string;
  /** For people. */ name: Name;
  /** Whether it is reached. */ state: Presence;
  /** What it publishes. */ tracks: Track[];
};

export type ParticipantId = string;

/** A participant without its tracks. */
export type ParticipantInfo = {
  /** What it may do. */ grants: CallGrant[];
  /** Its id. */ id: ParticipantId;
  /** Who it is: the same person on two devices, or coming back, has one identity and two ids. */ identity: string;
  /** RFC 3339. */ joined_at: string;
  /** What it is. */ kind: ParticipantKind;
  /** The application's own. */ metadata: string;
  /** For people. */ name: Name;
  /** Whether it is reached. */ state: Presence;
};

/** What a participant is. */
export type ParticipantKind = ("browser" | "ingest" | "device");

/** How good a participant's connection is: the worse of its two. */
export type ParticipantQuality = {
  /** Who. */ participant: ParticipantId;
  /** How good. */ quality: Quality;
};

/** Whether a participant is reached. */
export type Presence = ("active" | "away");

/** The fields of `publish`. */
export type Publish = {
  /** The offer. */ sdp: string;
  /** What is new in it; empty for a renegotiation. */ tracks?: PublishedTrack[];
};

/** The id of a new track. */
export type PublishedMid = {
  /** Its media section. */ mid: string;
  /** Its id. */ track: TrackId;
};

/** A new track in an offer. */
export type PublishedTrack = {
  /** Audio or video. */ kind: TrackKind;
  /** Its simulcast layers from the lowest to the highest. */ layers?: LayerRequest[];
  /** Its media section. */ mid: string;
  /** Whether it begins muted. */ muted?: boolean;
  /** For people. */ name?: Name;
  /** What it shows. */ source: TrackSource;
};

/** How good a connection is. */
export type Quality = ("lost" | "poor" | "good" | "excellent");

/** The fields of `remove`. */
export type Remove = {
  /** Who. */ participant: ParticipantId;
};

/** The answer to one request. */
export type Reply = ({
  /** Why. */ error: ErrorBody;
  /** Always false. */ ok: boolean;
  /** The request's id. */ re: RequestId;
} | {
  /** The topic's epoch. Offsets of different epochs do not compare. */ epoch: number;
  /** The position of `state` in the topic. Events that follow have greater ones. */ offset: number;
  /** Always true. */ ok: boolean;
  /** The request's id. */ re: RequestId;
  /** The topic's state. */ state: TopicState;
  /** The topic. */ topic: string;
} | {
  /** The topic's epoch. */ epoch: number;
  /** What to find a way with (the browser's `RTCConfiguration.iceServers`). */ ice_servers: IceServer[];
  /** The position of `state` in the topic. Events that follow have greater ones. */ offset: number;
  /** Always true. */ ok: boolean;
  /** Who this client is now. */ participant: ParticipantId;
  /** The request's id. */ re: RequestId;
  /** How to come back after the socket was lost. */ session: Session;
  /** The call's state. */ state: CallState;
  /** `call:{room}`. */ topic: string;
} | {
  /** Always true. */ ok: boolean;
  /** The request's id. */ re: RequestId;
  /** The answer. */ sdp: string;
  /** The ids of the new tracks. */ tracks: PublishedMid[];
} | {
  /** Always true. */ ok: boolean;
  /** The request's id. */ re: RequestId;
  /** What to come back with the next time. */ session: Session;
  /** Which of the `pending` requests never arrived: send them again. */ unknown: RequestId[];
} | {
  /** Who this connection is now: `account:ID` or the identity of a room token; absent for a playback token. */ identity?: string | null;
  /** Always true. */ ok: boolean;
  /** The request's id. */ re: RequestId;
} | {
  /** Always true. */ ok: boolean;
  /** The request's id. */ re: RequestId;
});

/** The fields of `report`. */
export type Report = {
  /** Whether. */ enabled: boolean;
};

/** A request, without its id. */
export type Request = ({
  /** An API token, a room token or a playback token. */ token: string;
  type: "authenticate";
} | {
  /** The topic: `rooms` or `room:{name}`. */ topic: string;
  type: "subscribe";
  /** Whether this connection counts as a viewer of the room. */ watch?: boolean;
} | {
  /** The topic. */ topic: string;
  type: "unsubscribe";
} | {
  /** The requests that have no reply yet. */ pending?: RequestId[];
  /** That it is ours. */ secret: string;
  /** The last event that was received; 0 for none. */ seq: number;
  /** Which. */ session: string;
  type: "resume";
} | {
  type: "ping";
});

/** The name that a client gives to a request; the reply repeats it as `re`. */
export type RequestId = (number | string);

/** The fields of `restart-ice`. */
export type RestartIce = object;

/** A room of the caller. */
export type Room = {
  /** RFC 3339. */ created_at: string;
  /** Origins that may frame its pages. */ embed_origins: string[];
  /** The live half. */ live: RoomState;
  /** How the media of its calls travels. It stays as it is. */ mode: Mode;
  /** Its name. */ name: string;
  /** Whether whoever has the link may watch. */ open: boolean;
  /** Who owns it: `account:ID`. */ owner: string;
  /** Its title. */ title: string;
};

/** The live half of a room. */
export type RoomState = {
  /** What the server converts for those who watch; only for who may administer the room, empty for others. */ conversions: Conversion[];
  /** People are in a call that can be watched: while the room is offline, whoever asks for its playlist or watches over WHEP has it mixed. */ has_call: boolean;
  /** What the encoder sends; only for who may administer the room, null for others. */ ingest: (Ingest | null);
  /** The path of the multivariant playlist while there is one. */ playlist: string | null;
  /** When this stream began (RFC 3339). */ started_at: string | null;
  /** What the main picture is doing. */ state: LiveState;
  /** Connections that watch. */ viewers: number;
  /** What is wrong with it; only for who may administer the room, empty for others. */ warnings: Warning[];
};

/** The state of the topic `room:{name}`. */
export type RoomTopicState = {
  /** What the server converts for those who watch; only for who may administer the room, empty for others. */ conversions: Conversion[];
  /** People are in a call that can be watched: while the room is offline, whoever asks for its playlist or watches over WHEP has it mixed. */ has_call: boolean;
  /** What the encoder sends; only for who may administer the room, null for others. */ ingest: (Ingest | null);
  /** The room's name. */ name: string;
  /** Whether whoever has the link may watch. */ open: boolean;
  /** The path of the multivariant playlist while there is one. */ playlist: string | null;
  /** When this stream began (RFC 3339). */ started_at: string | null;
  /** What the main picture is doing. */ state: LiveState;
  /** Its title. */ title: string;
  /** Connections that watch. */ viewers: number;
  /** What is wrong with it; only for who may administer the room, empty for others. */ warnings: Warning[];
};

/** The state of the topic `rooms`. */
export type RoomsState = {
  /** The caller's rooms, by name. */ rooms: Room[];
};

/** The fields of `send-data`. */
export type SendData = {
  /** Any JSON of at most 16 KiB. */ data: unknown;
  /** What it is about. */ label?: string | null;
  /** For whom; everybody else when absent. */ to?: ParticipantId[] | null;
};

export type ServerMessage = (Reply | {
  /** Counts this connection's events. */ seq: number;
} & EventOfEventKind | {
  /** Counts this connection's events. */ seq: number;
} & EventOfCallEventKind);

/** How to come back after the socket was lost. */
export type Session = {
  /** Names the session. */ id: string;
  /** How long the server waits, in seconds. */ resume_secs: number;
  /** Proves that it is ours; another one after each resume. */ secret: string;
};

/** The fields of `signal`. */
export type Signal = {
  /** The browser's `RTCIceCandidateInit`; null for the end of the candidates is an empty `candidate` in it. */ candidate?: (IceCandidateRequest | null);
  /** The browser's `RTCSessionDescriptionInit`. */ description?: (DescriptionRequest | null);
  /** To whom. */ to: ParticipantId;
};

/** One section of the subscribing connection. */
export type Slot = {
  /** Whether media flows. */ flow: Flow;
  /** The layer being sent: 0 is the lowest; null without layers or media. */ layer: number | null;
  /** The media section. */ mid: string;
  /** Whose that is. */ participant: (ParticipantId | null);
  /** What it carries. */ track: (TrackId | null);
};

/** Somebody who speaks. */
export type Speaker = {
  /** How loud: 0 is the loudest, 127 silence (RFC 6464 §3). */ level: number;
  /** Who. */ participant: ParticipantId;
};

/** The state of any topic. */
export type TopicState = (RoomsState | RoomTopicState);

/** One published source. */
export type Track = {
  /** `VP8`, `Opus`; null until its first packet. */ codec: string | null;
  /** Its id. */ id: TrackId;
  /** Audio or video. */ kind: TrackKind;
  /** Its simulcast layers from the lowest to the highest; empty for one encoding. */ layers: Layer[];
  /** Whether nothing of it is forwarded. */ muted: boolean;
  /** Who muted it. */ muted_by: (MutedBy | null);
  /** For people. */ name: Name;
  /** What it shows. */ source: TrackSource;
};

export type TrackId = string;

/** Audio or video. */
export type TrackKind = ("audio" | "video");

/** What a track shows. */
export type TrackSource = ("camera" | "microphone" | "screen" | "screen-audio" | "other");

/** The fields of `unpublish`. */
export type Unpublish = {
  /** Which. */ track: TrackId;
};

/** The fields of `update-participant`. */
export type UpdateParticipant = {
  /** What it may do from now on; a moderator's to say. */ grants?: CallGrant[] | null;
  /** The application's own. */ metadata?: string | null;
  /** For people. */ name?: (Name | null);
  /** Who; oneself when absent. */ participant?: (ParticipantId | null);
};

/** The fields of `update-subscription`. */
export type UpdateSubscription = {
  /** Whether it is wanted at all. */ enabled?: boolean;
  /** The largest useful frame rate; 0 for no limit. */ frame_rate?: number;
  /** The largest useful height in pixels; 0 for no limit. */ height?: number;
  /** Wanted, but not now. */ paused?: boolean;
  /** Higher comes first when there is not enough for all. */ priority?: number;
  /** Which track. */ track: TrackId;
  /** The largest useful width in pixels; 0 for no limit. */ width?: number;
};

/** The fields of `update-track`. */
export type UpdateTrack = {
  /** What the layers are now; the rids stay as they were published. */ layers?: LayerRequest[] | null;
  /** For people. */ name?: (Name | null);
  /** Which. */ track: TrackId;
};

/** Something that the streamer should mend. Pages translate the code. */
export type Warning = ({
  code: "keyframe_interval";
  params: {
    /** The longest distance seen. */ seconds: number;
  };
} | {
  code: "no_audio";
  params: object;
} | {
  code: "no_video";
  params: object;
} | {
  code: "codec_unsupported";
  params: {
    /** Its codec. */ codec: string;
  };
} | {
  code: "timestamps_jump";
  params: object;
} | {
  code: "audio_gap";
  params: object;
});
