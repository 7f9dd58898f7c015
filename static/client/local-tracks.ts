/** One's own tracks in a call: published, muted by oneself or by a moderator, ended, published again on another connection. */

import type { CallMedia } from './call-media.js';
import type { CallEvent } from './call-wire.js';
import type { TelstarError } from './errors.js';
import { LocalTrack, type PublishOptions } from './local-track.js';
import type { Platform, TimerHandle } from './platform.js';
import type { MediaTrack } from './rtc.js';
import type { Reply } from './wire.js';

export interface LocalTracksHost {
  media(): CallMedia;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
  changed(local: LocalTrack): void;
  readonly platform: Platform;
}

/**
 * When a connection ends, the server ends its tracks first and says why after that. Lower: tracks that could be
 * published again are given up. Higher: a track that the server has ended by itself is noticed later. A guess.
 */
const ENDED_MS = 500;

export class LocalTracks {
  readonly all = new Set<LocalTrack>();
  private readonly ended = new Map<LocalTrack, TimerHandle>();

  constructor(private readonly host: LocalTracksHost) {}

  publish(mediaTrack: MediaTrack, options: PublishOptions): LocalTrack {
    const local = new LocalTrack(mediaTrack, options, {
      changeMuted: (track, muted) => this.changeMuted(track, muted),
      changeMedia: (track) => this.host.media().refresh(track),
      unpublish: async (track) => this.unpublish(track),
      taken: (track) => this.host.changed(track),
      refused: (track) => this.unpublish(track),
    });
    this.all.add(local);
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
    // Their connection has ended, and they go on with the next.
    if (event.type === 'media-failed' && event.connection === 'publish') this.forgetEnded();
    if (event.type === 'grants' && !event.grants.includes('publish')) this.forgetEnded();
    if (event.type !== 'track-published' && event.type !== 'track-updated' && event.type !== 'track-unpublished') return false;
    if (event.participant !== self) return false;
    const id = typeof event.track === 'string' ? event.track : event.track.id;
    const local = [...this.all].find((track) => track.id === id);
    if (local === undefined) return true;
    if (event.type === 'track-unpublished') this.endLater(local);
    else if (event.type === 'track-updated') this.muted(local, event.track.muted && event.track.muted_by === 'moderator');
    return true;
  }

  /** The call is over: whoever waits for the server's answer hears so. */
  giveUp(error: TelstarError): void {
    for (const local of this.all) local.givenUp(error);
  }

  forgetEnded(): void {
    for (const timer of this.ended.values()) this.host.platform.clearTimer(timer);
    this.ended.clear();
  }

  private endLater(local: LocalTrack): void {
    local.id = null;
    this.ended.set(local, this.host.platform.setTimer(() => {
      this.ended.delete(local);
      this.unpublish(local);
    }, ENDED_MS));
  }

  /** What we said ourselves comes back; only a moderator's word changes anything. */
  private muted(local: LocalTrack, byModerator: boolean): void {
    if (!byModerator || local.mutedBy === 'moderator') return;
    local.isMuted = true;
    local.mutedBy = 'moderator';
    // A sender that refuses has no connection any more, and sends nothing.
    this.host.media().refresh(local).catch(() => {});
    this.host.changed(local);
  }

  private async changeMuted(local: LocalTrack, muted: boolean): Promise<void> {
    if (local.isMuted === muted) return;
    local.isMuted = muted;
    local.mutedBy = muted ? 'self' : null;
    this.host.changed(local);
    await this.host.media().refresh(local);
    // A track that is not taken yet says so once it is.
    // What counts now is told: another call of this may have overtaken this one meanwhile.
    if (local.id !== null) await this.host.request('mute', { track: local.id, muted: local.isMuted });
  }
}
