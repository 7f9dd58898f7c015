/**
 * Which track each media section of the subscribing connection carries. The server says it (`slots`), the connection has
 * the media; either may come first. A section is reused: its media then belongs to another track.
 */

import type { Slot } from './call-wire.js';
import type { RemoteTrack } from './remote.js';
import type { MediaTrack } from './rtc.js';

export class SlotMap {
  private version = -1;
  private slots: Slot[] = [];
  private media = new Map<string, MediaTrack>();
  private readonly holding = new Set<RemoteTrack>();

  constructor(
    private readonly find: (id: string) => RemoteTrack | null,
    private readonly mediaChanged: (track: RemoteTrack) => void,
    private readonly flowChanged: (track: RemoteTrack) => void,
  ) {}

  /** The whole list; one that was overtaken by a newer one is skipped. */
  setSlots(version: number, slots: Slot[]): void {
    if (version < this.version) return;
    this.version = version;
    this.slots = slots;
    this.apply();
  }

  setMedia(media: Map<string, MediaTrack>): void {
    this.media = media;
    this.apply();
  }

  /** Also called when a track has become known, since `slots` may name it before. */
  apply(): void {
    const carried = new Map<RemoteTrack, Slot>();
    for (const slot of this.slots) {
      const track = slot.track === null ? null : this.find(slot.track);
      if (track !== null) carried.set(track, slot);
    }
    // First those that lose their section, so that no media ever has two owners.
    for (const track of this.holding) {
      if (!carried.has(track)) this.assign(track, null);
    }
    for (const [track, slot] of carried) this.assign(track, slot);
  }

  /** The connection is gone, and with it all media. */
  clear(): void {
    this.version = -1;
    this.slots = [];
    this.media = new Map();
    this.apply();
  }

  private assign(track: RemoteTrack, slot: Slot | null): void {
    const media = slot === null ? null : (this.media.get(slot.mid) ?? null);
    const flow = slot?.flow ?? 'paused';
    const layer = slot?.layer ?? null;
    const mid = slot?.mid ?? null;
    if (slot === null) this.holding.delete(track);
    else this.holding.add(track);
    const isOtherMedia = track.mediaTrack !== media;
    const isOtherFlow = track.flow !== flow || track.layer !== layer;
    Object.assign(track, { mediaTrack: media, flow, layer, mid });
    if (isOtherMedia) this.mediaChanged(track);
    if (isOtherFlow) this.flowChanged(track);
  }
}
