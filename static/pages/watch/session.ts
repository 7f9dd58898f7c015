/** Joins the room's state, as `/ws` tells it, to the player. Nothing is polled: the server says when to start and stop. */

import { Client, socketUrl, type ConnectionState, type RoomTopicState, type StateChange } from '../../client/index.js';
import { readPreference } from '../shared/preferences.js';
import { isReasonToRetry, playlistUrl, viewState, type PageAddress, type ViewState } from './logic.js';
import { Player } from './player.js';
import { hasWebRtc, TransportChoice, transportOf } from './transport.js';

/** Where a proxy blocks WebSockets, the playlist is tried on its own after this long. A guess. */
const PLAY_WITHOUT_SOCKET_MS = 4_000;

export class WatchSession {
  readonly player: Player;
  room: RoomTopicState | null = null;
  private isRefused = false;
  readonly transports: TransportChoice;
  private readonly client: Client;

  constructor(
    readonly address: PageAddress,
    video: HTMLVideoElement,
    private readonly onChange: () => void,
  ) {
    this.transports = new TransportChoice(address.transport ?? transportOf(readPreference('transport')), hasWebRtc(globalThis));
    this.player = new Player(video, address.engine === 'native', this.transports, {
      onChange: () => {
        this.askForCall();
        onChange();
      },
    });
    this.client = new Client({
      url: socketUrl(location.origin),
      ...(address.token === null ? {} : { token: address.token }),
    });
    this.client.onConnection((state, reason) => this.connectionChanged(state, reason));
    this.client.subscribe<RoomTopicState>(`room:${address.room}`, {
      watch: true,
      onState: (state, change) => this.roomChanged(state, change),
      onError: () => {
        this.isRefused = true;
        this.player.unload();
        this.onChange();
      },
    });
    window.addEventListener('online', () => this.client.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.client.retryNow();
    });
    setTimeout(() => this.playWithoutSocket(), PLAY_WITHOUT_SOCKET_MS);
    this.client.connect();
  }

  get state(): ViewState {
    return viewState({
      connection: this.client.state,
      isRefused: this.isRefused,
      room: this.room,
      isPlaying: this.player.isMoving,
    });
  }

  private connectionChanged(state: ConnectionState, reason: string | null): void {
    // The token was refused: expired, or not of this room.
    if (state === 'closed' && reason !== null && reason !== 'bad_message') {
      this.isRefused = true;
      // The playlist is refused by the same token: an engine would ask for it again and again.
      this.player.unload();
    }
    this.onChange();
  }

  private roomChanged(room: RoomTopicState, change: StateChange): void {
    this.isRefused = false;
    const before = this.room?.state ?? null;
    this.room = room;
    this.apply(room, change, before);
    this.onChange();
  }

  private apply(room: RoomTopicState, change: StateChange, before: RoomTopicState['state'] | null): void {
    const { player } = this;
    if (room.state === 'offline' && room.has_call) {
      player.setDataExpected(true);
      this.askForCall();
    } else if (room.state === 'offline') {
      player.finish();
    } else if (room.state === 'reconnecting') {
      player.setDataExpected(false);
    } else if (room.state === 'live') {
      player.setDataExpected(true);
      if (!player.isLoaded) {
        this.load(room.playlist);
      } else if (change.newEpoch) {
        // After a restart nothing of the old playlist is left, so a fresh start is quicker than finding that out.
        player.rebuild('server restarted');
      } else if (isReasonToRetry(before, change.cause)) {
        player.retryNow();
      }
    }
  }

  /** The server mixes a call for whoever asks for it: at once, or when what was played before it is over. */
  private askForCall(): void {
    const { room, player } = this;
    if (this.isRefused || this.client.state !== 'open' || room === null) return;
    if (room.state === 'offline' && room.has_call && !player.isLoaded) this.load(room.playlist);
  }

  private playWithoutSocket(): void {
    if (this.room !== null || this.isRefused || this.player.isLoaded) return;
    this.load(null);
  }

  /** A stream that comes over WebRTC has a playlist only while somebody asks for it, under the usual name. */
  private load(playlist: string | null): void {
    const { token } = this.address;
    const room = encodeURIComponent(this.address.room);
    this.player.load({ whep: `/whep/${room}`, hls: playlistUrl(playlist ?? `/live/${room}/index.m3u8`, token), token });
  }
}
