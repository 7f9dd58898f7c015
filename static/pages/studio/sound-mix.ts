/** Microphone and screen sound as one track, which stays the same whatever is added, muted or taken away. */

export class SoundMix {
  private context: AudioContext | null = null;
  private target: MediaStreamAudioDestinationNode | null = null;
  private readonly sources = new Map<'microphone' | 'screen', { track: MediaStreamTrack; node: MediaStreamAudioSourceNode }>();

  /** Null where the browser has no WebAudio. */
  get track(): MediaStreamTrack | null {
    return this.target?.stream.getAudioTracks()[0] ?? null;
  }

  set(name: 'microphone' | 'screen', track: MediaStreamTrack | null): void {
    const old = this.sources.get(name);
    if (old?.track === track) return;
    old?.node.disconnect();
    this.sources.delete(name);
    this.context ??= new AudioContext({ latencyHint: 'interactive' });
    this.target ??= this.context.createMediaStreamDestination();
    if (track === null) return;
    const node = this.context.createMediaStreamSource(new MediaStream([track]));
    node.connect(this.target);
    this.sources.set(name, { track, node });
    this.wake();
  }

  /** Browsers let sound run only after the person did something on the page. */
  wake(): void {
    void this.context?.resume();
  }

  get isEmpty(): boolean {
    return this.sources.size === 0;
  }

  close(): void {
    for (const { node } of this.sources.values()) node.disconnect();
    this.sources.clear();
    this.track?.stop();
    void this.context?.close();
    this.context = this.target = null;
  }
}
