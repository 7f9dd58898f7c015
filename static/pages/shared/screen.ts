/** Asks for a screen, a window or a tab, with its sound where the browser gives it. */

/** Text must be sharp rather than smooth; a film in a window still moves. */
const SCREEN: MediaTrackConstraints = { frameRate: { ideal: 15, max: 30 } };

export interface Screen {
  video: MediaStreamTrack;
  audio: MediaStreamTrack | null;
}

/** Null where the person closes the browser's choice. */
export async function openScreen(wish: MediaTrackConstraints = SCREEN): Promise<Screen | null> {
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: wish, audio: true });
  } catch (error) {
    if (error instanceof Error && error.name === 'NotAllowedError') return null;
    throw error;
  }
  const [video] = stream.getVideoTracks();
  const [audio] = stream.getAudioTracks();
  if (video === undefined) return null;
  video.contentHint = 'detail';
  return { video, audio: audio ?? null };
}

/** Whether this browser can share one: phones cannot. */
export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}
