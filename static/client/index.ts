/**
 * @telstar/client: Telstar from a browser, a worker or Node. No DOM, no dependency.
 *
 * `new Rest()` calls the REST API; `new Client({url})` follows rooms over `/ws` and keeps itself connected;
 * `connect({url, token}).join('demo')` is a call; `WhipPublisher` sends to a room as an encoder does, `WhepPlayer` plays it.
 * `new Uploader()` uploads files, which become assets; `AssetEvents` tells what happens to them.
 */

export { AssetEvents, type AssetEventsMap, type AssetEventsOptions } from './asset-events.js';
export type * from './asset-wire.js';
export { Backoff, RECONNECT_BACKOFF, type BackoffOptions } from './backoff.js';
export { Call } from './call.js';
export type { CallEvents, JoinOptions } from './call-events.js';
export { callState, type CallFacts, type CallState, type PeerState } from './call-state.js';
export type * from './call-wire.js';
export {
  Client,
  connect,
  socketUrl,
  type ClientOptions,
  type StateChange,
  type SubscribeOptions,
  type Subscription,
} from './client.js';
export { SUBPROTOCOL, type ConnectionState } from './connection.js';
export { codecOrder, encodingsFor, layersFor, sizeOf, withDemand, withStartBitrate, type EncodingOptions, type VideoCodec, type VideoSize } from './encodings.js';
export { TelstarError } from './errors.js';
export type { MediaEvents, MediaOptions, MediaState } from './http-media.js';
export type { TokenSource } from './http-resource.js';
export { IceWatch } from './ice-watch.js';
export { LocalTrack, type PublishOptions } from './local-track.js';
export { decodeLossy, encodeLossy, LOSSY_BYTES_MAX } from './lossy.js';
export type { Limit, PlayStats, PublishStats } from './media-stats.js';
export { defaultPlatform, type BodyReader, type Platform, type RequestLike, type ResponseLike, type SocketLike } from './platform.js';
export { RemoteParticipant, RemoteTrack, Roster, type RosterChange, type SubscriptionSettings } from './remote.js';
export { defaultRtc, type MediaTrack, type MediaTrackLike, type Rtc } from './rtc.js';
export { SlotMap } from './slots.js';
export { parseStoryboard, thumbnailAt, type Thumbnail } from './storyboard.js';
export { StatsReducer, type ConnectionStats, type StreamStats } from './stats.js';
export { Rest, type InviteRequest, type NewRoom, type RestOptions, type RoomPatch, type RoomTokenRequest } from './rest.js';
export { Upload, type UploadEvents, type UploadState } from './upload.js';
export type { UploadSource } from './upload-part.js';
export { memoryStorage, type RecordedPart, type UploadRecord, type UploadStorage } from './upload-records.js';
export type { UploadExchange, UploadRequest, UploadResponse, UploadTransport } from './upload-transport.js';
export { fingerprintOf, Uploader, type UploaderEvents, type UploaderOptions } from './uploader.js';
export { WhepPlayer, type PlayOptions } from './whep.js';
export { WhipPublisher, type SendOptions, type VideoOptions } from './whip.js';
export * from './wire.js';
