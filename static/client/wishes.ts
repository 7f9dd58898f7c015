/** How tracks are wanted, as the server is told: at once, after the socket is back, and anew to a connection that knows nothing. */

import type { CallConnection } from './call-events.js';
import type { RemoteTrack, Roster } from './remote.js';
import type { Reply } from './wire.js';

export interface WishesHost {
  readonly connection: CallConnection;
  readonly autoSubscribe: boolean;
  roster(): Roster;
  /** The server counts us in, and knows the tracks. */
  isListening(): boolean;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
}

export class Wishes {
  /** Tracks whose wishes have changed while the socket was away: only the last wish counts, so it is said once. */
  private readonly unsaid = new Set<RemoteTrack>();

  constructor(private readonly host: WishesHost) {}

  say(track: RemoteTrack): void {
    if (!this.host.isListening()) return;
    if (this.host.connection.state !== 'open') {
      this.unsaid.add(track);
      return;
    }
    const { enabled, paused, width, height, frameRate, priority } = track.settings;
    // A track that has ended meanwhile needs no settings; without the right they are said once it is back.
    this.host.request('update-subscription', { track: track.id, enabled, paused, width, height, frame_rate: frameRate, priority }).catch(() => {});
  }

  /** The socket is back. */
  sayLate(): void {
    const unsaid = [...this.unsaid];
    this.unsaid.clear();
    for (const track of unsaid) if (this.host.roster().track(track.id) === track) this.say(track);
  }

  /** Everything that is not as the server assumes by itself. */
  sayAgain(): void {
    for (const participant of this.host.roster().participants.values()) {
      for (const track of participant.tracks.values()) {
        if (track.differsFrom(this.host.autoSubscribe)) this.say(track);
      }
    }
  }

  forget(): void {
    this.unsaid.clear();
  }
}
