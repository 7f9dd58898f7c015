/** When the first picture is shown. */

export function onFirstFrame(video: HTMLVideoElement, seen: () => void): void {
  // Sound alone has no video frame, so playing with no picture counts as well.
  if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(seen);
  video.addEventListener('timeupdate', () => {
    if (video.currentTime > 0 && video.readyState >= 2 && !video.seeking) seen();
  });
}
