/** Assets, jobs and what happens to them, as the REST API and `/api/v1/events` have them. */

export type AssetState = 'processing' | 'ready' | 'failed';

export interface SourceVideo {
  codec: string;
  width: number;
  height: number;
  fps: number;
  rotation: number;
  interlaced: boolean;
  bits: number;
  hdr: boolean;
  bps: number;
}

export interface SourceAudio {
  codec: string;
  channels: number;
  sample_rate: number;
  /** BCP 47; `und` where the source does not say. */
  language: string;
  title: string;
}

export interface SourceSubtitles {
  codec: string;
  language: string;
  title: string;
  forced: boolean;
  hearing_impaired: boolean;
}

export interface AssetSource {
  container: string;
  duration_secs: number;
  video: SourceVideo | null;
  audio: SourceAudio[];
  subtitles: SourceSubtitles[];
  /** What is left out, and why, in words. */
  left_out: string[];
  /** Why its pictures are not passed on as they are, in words. */
  encoded_because: string | null;
}

export interface Rendition {
  name: string;
  kind: 'video' | 'audio' | 'subtitles';
  codecs: string;
  width: number | null;
  height: number | null;
  fps: number | null;
  channels: number | null;
  language: string | null;
  bytes: number;
  /** There is no more to come. */
  whole: boolean;
  secs: number;
}

export interface AssetLinks {
  page: string;
  embed: string;
  playlist: string;
  poster: string | null;
  storyboard: string | null;
  /** Null for those who may not have the original. */
  source: string | null;
}

export interface Asset {
  asset: string;
  title: string;
  state: AssetState;
  /** Something can be watched, and what is there grows until it is whole. */
  playable: boolean;
  open: boolean;
  /** Empty for those who may not change it. */
  embed_origins: string[];
  bytes: number;
  kept_bytes: number;
  created_at: string;
  ready_at: string | null;
  updated_at: string;
  problem: string | null;
  /** Of the jobs that are not over: 0 to 1. */
  progress: number;
  eta_secs: number | null;
  source: AssetSource | null;
  renditions: Rendition[];
  links: AssetLinks;
}

export interface AssetPage {
  assets: Asset[];
  /** The cursor of the next page. */
  next: string | null;
}

export interface AssetPatch {
  title?: string;
  open?: boolean;
  embed_origins?: string[];
}

export type JobKind = 'probe' | 'first' | 'more' | 'images';
export type JobState = 'blocked' | 'ready' | 'leased' | 'done' | 'failed' | 'cancelled';

interface JobFacts {
  job: number;
  asset: string;
  kind: JobKind;
  state: JobState;
  renditions: string[];
  progress: number;
  eta_secs: number | null;
  /** Attempts that failed since it was last asked for. */
  failures: number;
  problem: string | null;
  wanted_at: string;
  updated_at: string;
  /** When the next attempt may begin, while it is ready. */
  due_at: string | null;
}

export interface Job extends JobFacts {
  /** How many were begun. */
  attempts: number;
}

export interface JobAttempt {
  attempt: number;
  began_at: string;
  ended_at: string | null;
  /** Empty while it lasts. */
  outcome: string;
  log: string;
}

export interface JobWithAttempts extends JobFacts {
  attempts: JobAttempt[];
}
