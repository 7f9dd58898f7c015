/** The others in a call and what they publish, kept by the events. Knows neither sockets nor peer connections. */

import type { CallEvent, Flow, Layer, Participant, ParticipantInfo, ParticipantKind, Track, TrackKind, TrackSource } from './call-wire.js';
import type { MediaTrack } from './rtc.js';

export interface SubscriptionSettings {
  /** False gives the track up; its slot is free for another. */
  enabled: boolean;
  /** Wanted, but not now: nothing is sent. */
  paused: boolean;
  /** The largest useful picture in pixels; 0 for no limit. */
  width: number;
  height: number;
  frameRate: number;
  /** Higher comes first when the path does not carry all. */
  priority: number;
}

const DEFAULTS: SubscriptionSettings = { enabled: true, paused: false, width: 0, height: 0, frameRate: 0, priority: 128 };

/** What a track needs of its call. */
export interface SubscriptionSink {
  updateSubscription(track: RemoteTrack): void;
}

export class RemoteTrack {
  kind: TrackKind;
  source: TrackSource;
  name: string;
  isMuted: boolean;
  mutedBy: 'self' | 'moderator' | null;
  codec: string | null;
  layers: Layer[];
  /** What to play. Null while the track has no slot; the object changes when the slot does. */
  mediaTrack: MediaTrack | null = null;
  flow: Flow = 'paused';
  /** The layer that comes, counted from the lowest. */
  layer: number | null = null;
  mid: string | null = null;
  readonly settings: SubscriptionSettings;

  constructor(
    readonly id: string,
    readonly participant: RemoteParticipant,
    track: Track,
    private readonly sink: SubscriptionSink,
    isEnabled: boolean,
  ) {
    this.kind = track.kind;
    this.source = track.source;
    this.name = track.name;
    this.isMuted = track.muted;
    this.mutedBy = track.muted_by;
    this.codec = track.codec;
    this.layers = track.layers;
    this.settings = { ...DEFAULTS, enabled: isEnabled };
  }

  /** Changes how the track is wanted. What is said already is not said again. */
  want(change: Partial<SubscriptionSettings>): void {
    const entries = Object.entries(change) as [keyof SubscriptionSettings, never][];
    if (entries.every(([name, value]) => this.settings[name] === value)) return;
    Object.assign(this.settings, change);
    this.sink.updateSubscription(this);
  }

  /** True when the settings are not what the server assumes by itself. */
  differsFrom(autoSubscribe: boolean): boolean {
    const base = { ...DEFAULTS, enabled: autoSubscribe };
    return (Object.keys(base) as (keyof SubscriptionSettings)[]).some((name) => base[name] !== this.settings[name]);
  }

  update(track: Track): void {
    this.kind = track.kind;
    this.source = track.source;
    this.name = track.name;
    this.isMuted = track.muted;
    this.mutedBy = track.muted_by;
    this.codec = track.codec;
    this.layers = track.layers;
  }
}

export class RemoteParticipant {
  identity = '';
  name = '';
  kind: ParticipantKind = 'browser';
  metadata = '';
  grants: string[] = [];
  isAway = false;
  joinedAt = '';
  readonly tracks = new Map<string, RemoteTrack>();

  constructor(readonly id: string) {}

  update(participant: ParticipantInfo): void {
    this.identity = participant.identity;
    this.name = participant.name;
    this.kind = participant.kind;
    this.metadata = participant.metadata;
    this.grants = participant.grants;
    this.isAway = participant.state === 'away';
    this.joinedAt = participant.joined_at;
  }

  /** The track of that source, of which there is usually one. */
  track(source: TrackSource): RemoteTrack | null {
    return [...this.tracks.values()].find((track) => track.source === source) ?? null;
  }
}

/** What a change of the roster means to whoever listens. */
export type RosterChange =
  | { type: 'participantJoined' | 'participantUpdated'; participant: RemoteParticipant }
  | { type: 'participantLeft'; participant: RemoteParticipant; reason: string }
  | { type: 'trackPublished' | 'trackUpdated' | 'trackUnpublished'; track: RemoteTrack };

/** Everybody but oneself. */
export class Roster {
  readonly participants = new Map<string, RemoteParticipant>();

  constructor(
    private readonly sink: SubscriptionSink,
    private readonly autoSubscribe: boolean,
    private readonly report: (change: RosterChange) => void,
  ) {}

  track(id: string): RemoteTrack | null {
    for (const participant of this.participants.values()) {
      const track = participant.tracks.get(id);
      if (track !== undefined) return track;
    }
    return null;
  }

  /** A whole state, after joining and after joining anew: who and what has gone or come is told as if it happened now. */
  replace(participants: Participant[], self: string): void {
    const others = participants.filter(({ id }) => id !== self);
    // A server that was started anew counts from the beginning, so that a number may be somebody else's now.
    const isStill = (known: RemoteParticipant): boolean => others.some(({ id, identity, joined_at }) => id === known.id && identity === known.identity && joined_at === known.joinedAt);
    for (const known of [...this.participants.values()]) {
      if (!isStill(known)) this.leave(known.id, 'left');
    }
    for (const participant of others) {
      this.join(participant);
      const kept = new Set(participant.tracks.map(({ id }) => id));
      for (const id of [...(this.participants.get(participant.id)?.tracks.keys() ?? [])]) {
        if (!kept.has(id)) this.unpublish(participant.id, id);
      }
      for (const track of participant.tracks) this.publish(participant.id, track);
    }
  }

  /** True when the event was one of the roster's. */
  handle(event: CallEvent): boolean {
    switch (event.type) {
      case 'participant-joined':
        this.join(event.participant);
        for (const track of event.participant.tracks) this.publish(event.participant.id, track);
        return true;
      case 'participant-updated':
        if (this.participants.has(event.participant.id)) this.join(event.participant);
        return true;
      case 'participant-left':
        this.leave(event.participant, event.reason);
        return true;
      case 'track-published':
      case 'track-updated':
        this.publish(event.participant, event.track);
        return true;
      case 'track-unpublished':
        this.unpublish(event.participant, event.track);
        return true;
      default:
        return false;
    }
  }

  publish(participantId: string, wire: Track): void {
    const participant = this.participants.get(participantId);
    if (participant === undefined) return;
    const known = participant.tracks.get(wire.id);
    if (known !== undefined) {
      known.update(wire);
      this.report({ type: 'trackUpdated', track: known });
      return;
    }
    const track = new RemoteTrack(wire.id, participant, wire, this.sink, this.autoSubscribe);
    participant.tracks.set(track.id, track);
    this.report({ type: 'trackPublished', track });
  }

  unpublish(participantId: string, trackId: string): void {
    const participant = this.participants.get(participantId);
    const track = participant?.tracks.get(trackId);
    if (participant === undefined || track === undefined) return;
    participant.tracks.delete(trackId);
    track.mediaTrack = null;
    track.mid = null;
    this.report({ type: 'trackUnpublished', track });
  }

  private join(wire: ParticipantInfo): void {
    let participant = this.participants.get(wire.id);
    const isNew = participant === undefined;
    if (participant === undefined) {
      participant = new RemoteParticipant(wire.id);
      this.participants.set(wire.id, participant);
    }
    participant.update(wire);
    this.report({ type: isNew ? 'participantJoined' : 'participantUpdated', participant });
  }

  private leave(id: string, reason: string): void {
    const participant = this.participants.get(id);
    if (participant === undefined) return;
    for (const trackId of [...participant.tracks.keys()]) this.unpublish(id, trackId);
    this.participants.delete(id);
    this.report({ type: 'participantLeft', participant, reason });
  }
}
