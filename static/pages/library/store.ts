/** The account's assets and jobs, kept true by `/api/v1/events`. */

import type { Asset, AssetEventsMap, Job, Rest } from '../../client/index.js';
import { isNewer, openJobs } from './logic.js';
import { SharedEvents } from './shared-events.js';

type Listener = () => void;

/** Whoever shows one asset, whether it is listed or not. */
export interface Follower {
  onAsset(asset: Asset): void;
  onJob(job: Job): void;
  onGone(): void;
  /** Some may have been missed: everything is to be read again. */
  onStale(): void;
}

/** Assets of one page of the list. */
const PAGE = 48;

export class AssetStore {
  /** Null until the first answer. */
  assets: Map<string, Asset> | null = null;
  /** Where the list goes on; null at its end. */
  next: string | null = null;
  connection: AssetEventsMap['connection'] = 'connecting';
  private readonly jobs = new Map<number, Job>();
  private readonly listeners = new Set<Listener>();
  private readonly followers = new Map<Follower, string>();
  private readonly events: SharedEvents;

  constructor(
    private readonly rest: Rest,
    account: string | number,
    private readonly onProblem: (error: unknown) => void,
    onSignedOut: () => void,
  ) {
    this.events = new SharedEvents(account, {
      asset: (asset) => this.put(asset),
      job: (job) => this.putJob(job),
      deleted: ({ asset }) => this.remove(asset),
      stale: () => {
        void this.reload();
        for (const follower of [...this.followers.keys()]) follower.onStale();
      },
      refused: onSignedOut,
      connection: (state) => {
        this.connection = state;
        this.changed();
      },
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.events.retryNow();
    });
  }

  /** The newest page and the jobs, read again. */
  async reload(): Promise<void> {
    try {
      const [page, jobs] = await Promise.all([this.rest.assets(undefined, PAGE), this.rest.jobs()]);
      this.assets = new Map(page.assets.map((asset) => [asset.asset, asset]));
      this.next = page.next;
      this.jobs.clear();
      jobs.forEach((job) => this.jobs.set(job.job, job));
      this.changed();
    } catch (error) {
      this.onProblem(error);
    }
  }

  async more(): Promise<void> {
    if (this.next === null) return;
    const page = await this.rest.assets(this.next, PAGE);
    page.assets.forEach((asset) => this.assets?.set(asset.asset, asset));
    this.next = page.next;
    this.changed();
  }

  /** Newest first. */
  sorted(): Asset[] {
    return [...(this.assets?.values() ?? [])].sort((a, b) => b.created_at.localeCompare(a.created_at) || a.asset.localeCompare(b.asset));
  }

  /** Those of an asset that are not done. */
  openJobsOf(asset: string): Job[] {
    return openJobs([...this.jobs.values()].filter((job) => job.asset === asset));
  }

  /** Also called with what a request returned, so that the page does not wait for the event. */
  put(asset: Asset): void {
    // One that is not among those listed is newer than all of them, or belongs to a page that was not read.
    const isListed = this.assets?.has(asset.asset) ?? false;
    const oldest = this.next === null ? '' : (this.sorted().at(-1)?.created_at ?? '');
    if (isListed || asset.created_at >= oldest) this.assets?.set(asset.asset, asset);
    this.followersOf(asset.asset).forEach((follower) => follower.onAsset(asset));
    this.changed();
  }

  putJob(job: Job): void {
    if (!isNewer(job, this.jobs.get(job.job))) return;
    this.jobs.set(job.job, job);
    this.followersOf(job.asset).forEach((follower) => follower.onJob(job));
    this.changed();
  }

  remove(asset: string): void {
    this.assets?.delete(asset);
    for (const job of [...this.jobs.values()]) if (job.asset === asset) this.jobs.delete(job.job);
    this.followersOf(asset).forEach((follower) => follower.onGone());
    this.changed();
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Returns a function that ends it. */
  follow(name: string, follower: Follower): () => void {
    this.followers.set(follower, name);
    return () => this.followers.delete(follower);
  }

  close(): void {
    this.events.close();
  }

  private followersOf(name: string): Follower[] {
    return [...this.followers].filter(([, followed]) => followed === name).map(([follower]) => follower);
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
