/** The account's rooms, kept true by the topic `rooms`. */

import { Client, socketUrl, type ConnectionState, type Room, type RoomTopicState, type Subscription } from '../../client/index.js';

type Listener = () => void;

export class RoomStore {
  /** Null until the first answer. */
  rooms: Map<string, Room> | null = null;
  connection: ConnectionState = 'idle';
  private readonly listeners = new Set<Listener>();
  private readonly client = new Client({ url: socketUrl(location.origin) });

  constructor(private readonly onSignedOut: () => void) {
    this.client.onConnection((state, reason) => {
      this.connection = state;
      if (state === 'closed' && reason !== null) this.onSignedOut();
      this.changed();
    });
    this.client.subscribe<{ rooms: Room[] }>('rooms', {
      onState: ({ rooms }) => {
        this.rooms = new Map(rooms.map((room) => [room.name, room]));
        this.changed();
      },
      onEvent: (event) => {
        if (event.type === 'room') this.put(event['room'] as Room);
        if (event.type === 'room-deleted') this.remove(String(event['name']));
      },
      // An account always has the topic, so a refusal probably means that the session has ended.
      onError: () => this.onSignedOut(),
    });
    window.addEventListener('online', () => this.client.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.client.retryNow();
    });
    this.client.connect();
  }

  /** A first list, ignored when the socket was quicker. */
  start(rooms: Room[]): void {
    if (this.rooms !== null) return;
    this.rooms = new Map(rooms.map((room) => [room.name, room]));
    this.changed();
  }

  /** Live rooms first, then the newest. */
  sorted(): Room[] {
    const rank = (room: Room): number => (room.live.state === 'offline' ? 1 : 0);
    return [...(this.rooms?.values() ?? [])].sort(
      (a, b) => rank(a) - rank(b) || b.created_at.localeCompare(a.created_at) || a.name.localeCompare(b.name),
    );
  }

  /** Also called with what a request returned, so that the page does not wait for the event. */
  put(room: Room): void {
    this.rooms?.set(room.name, room);
    this.changed();
  }

  remove(name: string): void {
    this.rooms?.delete(name);
    this.changed();
  }

  /** The full state of one room, with the ingest's details. */
  follow(name: string, onState: (state: RoomTopicState) => void, onGone: () => void): Subscription<RoomTopicState> {
    return this.client.subscribe<RoomTopicState>(`room:${name}`, { onState, onError: onGone });
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.client.close();
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
