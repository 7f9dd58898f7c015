/** The screen with the camera in its corner, as one picture: drawn on a canvas, sent as its track. */

import { fitInside, insetBox, type Box } from './logic.js';

/** Set by the build: the worker's file of our own origin. */
declare const __FRAME_TIMER_PATH__: string;

export class PictureMix {
  readonly track: MediaStreamTrack;
  private readonly canvas = document.createElement('canvas');
  private readonly context: CanvasRenderingContext2D;
  private readonly timer = new Worker(__FRAME_TIMER_PATH__);
  private readonly screen: HTMLVideoElement;
  private camera: HTMLVideoElement | null = null;

  constructor(screen: MediaStreamTrack, camera: MediaStreamTrack | null, size: { width: number; height: number; frameRate: number }) {
    this.canvas.width = size.width;
    this.canvas.height = size.height;
    // Opaque pictures need no blending with what lies behind.
    const context = this.canvas.getContext('2d', { alpha: false });
    if (context === null) throw new Error('this browser draws nothing');
    this.context = context;
    this.screen = playing(screen);
    this.showCamera(camera);
    const [track] = this.canvas.captureStream(size.frameRate).getVideoTracks();
    if (track === undefined) throw new Error('a canvas has one track');
    this.track = track;
    track.contentHint = 'detail';
    this.timer.onmessage = () => this.draw();
    this.timer.postMessage(size.frameRate);
    this.draw();
  }

  showCamera(track: MediaStreamTrack | null): void {
    this.camera?.pause();
    this.camera = track === null ? null : playing(track);
  }

  close(): void {
    this.timer.terminate();
    this.track.stop();
    this.screen.srcObject = null;
    if (this.camera !== null) this.camera.srcObject = null;
  }

  private draw(): void {
    const { context, canvas, screen, camera } = this;
    context.fillStyle = '#000';
    context.fillRect(0, 0, canvas.width, canvas.height);
    drawInto(context, screen, fitInside(sizeOf(screen), canvas));
    if (camera !== null) drawInto(context, camera, insetBox(sizeOf(camera), canvas));
  }
}

function playing(track: MediaStreamTrack): HTMLVideoElement {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  // Muted, so no browser refuses; a track that ends meanwhile is no failure.
  video.play().catch(() => {});
  return video;
}

function sizeOf(video: HTMLVideoElement): { width: number; height: number } {
  return { width: video.videoWidth, height: video.videoHeight };
}

function drawInto(context: CanvasRenderingContext2D, video: HTMLVideoElement, { x, y, width, height }: Box): void {
  if (width > 0 && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) context.drawImage(video, x, y, width, height);
}
