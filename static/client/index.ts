/**
 * @telstar/client: Telstar from a browser, a worker or Node. No DOM, no dependency.
 *
 * `new Rest()` calls the REST API; `new Client({url})` follows rooms over `/ws` and keeps itself connected.
 */

export { Backoff, RECONNECT_BACKOFF, type BackoffOptions } from './backoff.js';
export {
  Client,
  socketUrl,
  type ClientOptions,
  type StateChange,
  type SubscribeOptions,
  type Subscription,
} from './client.js';
export { SUBPROTOCOL, type ConnectionState } from './connection.js';
export { TelstarError } from './errors.js';
export { defaultPlatform, type Platform, type RequestLike, type ResponseLike, type SocketLike } from './platform.js';
export { Rest, type NewRoom, type RestOptions, type RoomPatch } from './rest.js';
export * from './wire.js';
