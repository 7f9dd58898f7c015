/** How loud a microphone is, 0 to 1, for the bar in the preview. */

export class LevelMeter {
  private context: AudioContext | null = null;
  private analyser: AnalyserNode | null = null;
  private source: MediaStreamAudioSourceNode | null = null;
  private samples: Float32Array<ArrayBuffer> = new Float32Array(0);
  private track: MediaStreamTrack | null = null;

  follow(track: MediaStreamTrack | null): void {
    if (track === this.track) return;
    this.track = track;
    this.source?.disconnect();
    this.source = null;
    if (track === null) return;
    this.context ??= new AudioContext();
    void this.context.resume();
    this.analyser ??= this.context.createAnalyser();
    this.analyser.fftSize = 512;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(this.analyser);
  }

  /** Browsers let it run only after the person did something on the page. */
  wake(): void {
    void this.context?.resume();
  }

  /** From -60 dB to full scale, as ears hear it. */
  read(): number {
    if (this.analyser === null || this.source === null) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    const decibels = 10 * Math.log10(Math.max(power, 1e-9));
    return Math.min(1, Math.max(0, (decibels + 60) / 60));
  }

  close(): void {
    this.follow(null);
    void this.context?.close();
    this.context = this.analyser = null;
  }
}
