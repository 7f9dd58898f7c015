/**
 * What happens to the account's assets, over one connection for all tabs of this browser: a browser opens at most six HTTP/1.1
 * connections to a host, and a stream in each of a handful of tabs would leave none for uploads and players.
 * The tab that has the lock listens and passes on; when it goes, the next one has it. Where there are no locks (a page that is
 * not secure), each tab listens by itself.
 */

import { AssetEvents, type AssetEventsMap } from '../../client/index.js';

type Name = 'asset' | 'job' | 'deleted' | 'stale' | 'refused' | 'connection';

/** What a tab passes on to the others. */
type Told = { [K in Name]: { name: K; event: AssetEventsMap[K] } }[Name];

const PASSED_ON: readonly Name[] = ['asset', 'job', 'deleted', 'stale', 'connection'];

export type Listeners = { [K in Name]: (event: AssetEventsMap[K]) => void };

export class SharedEvents {
  private readonly events = new AssetEvents();
  private readonly channel: BroadcastChannel;
  private isListening = false;
  private release: () => void = () => {};

  /** Calls `listeners.stale` at once: what there is has to be read. */
  constructor(account: string | number, listeners: Listeners) {
    const name = `telstar.events.${account}`;
    const tell = (told: Told): void => (listeners[told.name] as (event: unknown) => void)(told.event);
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = ({ data }: MessageEvent<Told>) => {
      if (!this.isListening) tell(data);
    };
    for (const passed of PASSED_ON) {
      this.events.on(passed, (event) => {
        const told = { name: passed, event } as Told;
        if (!this.isListening) return;
        this.channel.postMessage(told);
        tell(told);
      });
    }
    // Each tab finds out by itself that nobody is signed in any more.
    this.events.on('refused', listeners.refused);
    listeners.stale(null);
    if (!('locks' in navigator)) {
      this.listen();
      return;
    }
    // Held until this tab goes: the browser gives it to the next one then.
    void navigator.locks.request(name, () => {
      this.listen();
      return new Promise<void>((resolve) => {
        this.release = resolve;
      });
    });
  }

  retryNow(): void {
    this.events.retryNow();
  }

  close(): void {
    this.isListening = false;
    this.events.close();
    this.channel.close();
    this.release();
  }

  private listen(): void {
    this.isListening = true;
    this.events.open();
  }
}
