/**
 * Media between the browsers themselves: a connection to each of the others, the server only passes signals on.
 * What the tracks are is told by data messages of a reserved label, since the server knows none of them.
 */

import type { CallEvent, Track } from './call-wire.js';
import type { CallMedia, MediaHost } from './call-media.js';
import type { PeerState } from './call-state.js';
import { TelstarError } from './errors.js';
import { IceWatch } from './ice-watch.js';
import type { LocalTrack } from './local-track.js';
import { participantNumber } from './lossy.js';
import { MeshPeer } from './mesh-peer.js';
import type { IceServer, MediaTrack } from './rtc.js';
import { StatsReducer, type ConnectionStats } from './stats.js';

/** The label of data messages that are ours and not the application's. */
export const TRACKS_LABEL = 'telstar.tracks';

interface Link {
  peer: MeshPeer;
  watch: IceWatch;
  reducer: StatsReducer;
}

export class MeshMedia implements CallMedia {
  private readonly links = new Map<string, Link>();
  private readonly locals = new Set<LocalTrack>();
  private iceServers: IceServer[] = [];
  private mayPublish = true;

  constructor(private readonly host: MediaHost, private readonly self: string) {}

  add(local: LocalTrack): void {
    if (!this.mayPublish) {
      local.refused(new TelstarError('forbidden', 'the right to publish was taken away'));
      return;
    }
    this.locals.add(local);
    for (const { peer } of this.links.values()) peer.add(local);
    local.taken(null);
  }

  remove(local: LocalTrack): void {
    this.locals.delete(local);
    for (const { peer } of this.links.values()) peer.remove(local);
  }

  async refresh(local: LocalTrack): Promise<void> {
    await Promise.all([...this.links.values()].map(({ peer }) => peer.refresh(local)));
  }

  setIceServers(iceServers: IceServer[]): void {
    this.iceServers = iceServers;
  }

  handle(event: CallEvent): boolean {
    if (event.type === 'signal') {
      this.link(event.from)?.peer.handle({ description: event.description ?? null, candidate: event.candidate ?? null });
      return true;
    }
    if (event.type === 'data' && event.label === TRACKS_LABEL) {
      if (event.from !== null) this.tracksTold(event.from, event.data);
      return true;
    }
    return false;
  }

  /** The server sees no track of a p2p call, so it is this side that stops sending. */
  grantsChanged(gained: readonly string[], lost: readonly string[]): void {
    const mayPublish = gained.includes('publish') || (this.mayPublish && !lost.includes('publish'));
    if (mayPublish === this.mayPublish) return;
    this.mayPublish = mayPublish;
    for (const { peer } of this.links.values()) {
      for (const local of this.locals) {
        if (mayPublish) peer.add(local);
        else peer.remove(local);
      }
    }
  }

  /** A connection to everybody who is there, and to nobody else. */
  rosterChanged(): void {
    for (const id of this.host.roster.participants.keys()) this.link(id);
    for (const [id, link] of [...this.links]) {
      if (this.host.roster.participants.has(id)) continue;
      this.links.delete(id);
      link.watch.stop();
      link.peer.close();
    }
  }

  networkChanged(): void {
    for (const { watch } of this.links.values()) watch.networkChanged();
  }

  peers(): PeerState[] {
    return [...this.links.values()].map(({ peer }) => peer.pc.connectionState as PeerState);
  }

  serverAddresses(): string[] {
    return [];
  }

  sendLossy(payload: Uint8Array, to: readonly string[]): boolean {
    const links = [...this.links].filter(([id]) => to.length === 0 || to.includes(id));
    return links.map(([, { peer }]) => peer.send(payload)).some(Boolean);
  }

  stats(): Promise<ConnectionStats[]> {
    return Promise.all([...this.links.values()].map(async ({ peer, reducer }) => reducer.reduce(await peer.pc.getStats())));
  }

  close(): void {
    for (const { peer, watch } of this.links.values()) {
      watch.stop();
      peer.close();
    }
    this.links.clear();
  }

  /** Null for somebody who is not in the call. */
  private link(id: string): Link | null {
    const known = this.links.get(id);
    if (known !== undefined) return known;
    if (!this.host.roster.participants.has(id)) return null;
    // Numbers grow: whoever came later knows of everybody at once, and begins.
    const isLater = participantNumber(this.self) > participantNumber(id);
    const watch = new IceWatch(this.host.platform, () => this.links.get(id)?.peer.restartIce());
    const peer = new MeshPeer({
      rtc: this.host.rtc,
      // A signal that is lost with the socket is repeated by the session, or the call is joined anew.
      signal: (signal) => void this.host.request('signal', { to: id, ...signal }).catch(() => {}),
      tracksChanged: (tracks) => this.tellTracks(id, tracks),
      mediaChanged: () => this.assign(id),
      peerChanged: (state) => {
        watch.update(state);
        this.host.peersChanged();
      },
      lossyReceived: (payload) => this.host.lossyReceived(id, payload),
    }, isLater, this.iceServers);
    const link = { peer, watch, reducer: new StatsReducer(id) };
    this.links.set(id, link);
    if (this.mayPublish) for (const local of this.locals) peer.add(local);
    return link;
  }

  private tellTracks(to: string, tracks: { mid: string; local: LocalTrack }[]): void {
    const data = tracks.map(({ mid, local }) => ({ mid, kind: local.kind, source: local.source, name: local.name, muted: local.isMuted }));
    this.host.request('send-data', { to: [to], label: TRACKS_LABEL, data }).catch(() => {});
  }

  private tracksTold(from: string, data: unknown): void {
    const participant = this.host.roster.participants.get(from);
    if (participant === undefined || !Array.isArray(data)) return;
    const told = (data as Partial<Track & { mid: string }>[]).filter((track) => typeof track?.mid === 'string');
    const wire = told.map((track): Track => ({
      id: `${from}/${track.mid ?? ''}`,
      kind: track.kind === 'audio' ? 'audio' : 'video',
      source: track.source ?? 'other',
      name: String(track.name ?? ''),
      muted: track.muted === true,
      muted_by: track.muted === true ? 'self' : null,
      codec: null,
      layers: [],
    }));
    const kept = new Set(wire.map(({ id }) => id));
    for (const id of [...participant.tracks.keys()]) {
      if (!kept.has(id)) this.host.roster.unpublish(from, id);
    }
    for (const track of wire) this.host.roster.publish(from, track);
    this.assign(from);
  }

  private assign(id: string): void {
    const transceivers = this.links.get(id)?.peer.pc.getTransceivers() ?? [];
    for (const track of this.host.roster.participants.get(id)?.tracks.values() ?? []) {
      const section = transceivers.find(({ mid }) => `${id}/${mid ?? ''}` === track.id);
      const media = (section?.receiver.track ?? null) as MediaTrack | null;
      if (track.mediaTrack === media) continue;
      Object.assign(track, { mediaTrack: media, mid: section?.mid ?? null, flow: media === null ? 'paused' : 'active' });
      this.host.mediaChanged(track);
      this.host.flowChanged(track);
    }
  }
}
