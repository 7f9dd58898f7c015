/** One's own tracks in a call: published, muted by oneself or by a moderator, ended, published again on another connection. */

import type { CallMedia } from './call-media.js';
import type { CallEvent } from './call-wire.js';
import { LocalTrack, type PublishOptions } from './local-track.js';
import type { MediaTrack } from './rtc.js';
import type { Reply } from './wire.js';

export interface LocalTracksHost {
  media(): CallMedia;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
  changed(local: LocalTrack): void;
}

export class LocalTracks {
  readonly all = new Set<LocalTrack>();

  constructor(private readonly host: LocalTracksHost) {}

  publish(mediaTrack: MediaTrack, options: PublishOptions): LocalTrack {
    const local = new LocalTrack(mediaTrack, options, {
      changeMuted: (track, muted) => this.changeMuted(track, muted),
      changeMedia: (track) => this.host.media().refresh(track),
      unpublish: async (track) => this.unpublish(track),
    });
    this.all.add(local);
    local.ready.then(() => this.host.changed(local), () => {
      this.all.delete(local);
      this.host.changed(local);
    });
    this.host.media().add(local);
    return local;
  }

  unpublish(local: LocalTrack): void {
    if (!this.all.delete(local)) return;
    this.host.media().remove(local);
    this.host.changed(local);
  }

  /** Other connections for the same tracks: what the server called them is known to nobody any more. */
  moveTo(media: CallMedia): void {
    for (const local of this.all) {
      local.id = null;
      media.add(local);
    }
  }

  /** What the server says of our own tracks. True for every event of one. */
  handle(event: CallEvent, self: string): boolean {
    if (event.type !== 'track-published' && event.type !== 'track-updated' && event.type !== 'track-unpublished') return false;
    if (event.participant !== self) return false;
    const id = typeof event.track === 'string' ? event.track : event.track.id;
    const local = [...this.all].find((track) => track.id === id);
    if (local === undefined) return true;
    if (event.type === 'track-unpublished') this.unpublish(local);
    else if (event.type === 'track-updated') this.muted(local, event.track.muted && event.track.muted_by === 'moderator');
    return true;
  }

  /** What we said ourselves comes back; only a moderator's word changes anything. */
  private muted(local: LocalTrack, byModerator: boolean): void {
    if (!byModerator || local.mutedBy === 'moderator') return;
    local.isMuted = true;
    local.mutedBy = 'moderator';
    void this.host.media().refresh(local);
    this.host.changed(local);
  }

  private async changeMuted(local: LocalTrack, muted: boolean): Promise<void> {
    if (local.isMuted === muted) return;
    local.isMuted = muted;
    local.mutedBy = muted ? 'self' : null;
    this.host.changed(local);
    await this.host.media().refresh(local);
    // A track that is not taken yet says so once it is.
    if (local.id !== null) await this.host.request('mute', { track: local.id, muted });
  }
}
