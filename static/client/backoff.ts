/** How long to wait before the next try: exponential, capped, with jitter. Knows no timer. */

export interface BackoffOptions {
  /** Lower: a short outage is noticed less. Higher: less load on a server that is just coming back. */
  firstMs: number;
  /** Lower: a long outage ends sooner for the user. Higher: less noise while the server is away. */
  maxMs: number;
}

/** A guess that keeps a server restart (about one second) below two tries. */
export const RECONNECT_BACKOFF: BackoffOptions = { firstMs: 300, maxMs: 8_000 };

export class Backoff {
  private tries = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: () => number,
  ) {}

  /** Half of the delay is fixed and half is random, so that no try comes at once and no two clients move in step. */
  nextDelayMs(): number {
    const ceiling = Math.min(this.options.maxMs, this.options.firstMs * 2 ** Math.min(this.tries, 20));
    this.tries += 1;
    return ceiling / 2 + (ceiling / 2) * this.random();
  }

  get attempts(): number {
    return this.tries;
  }

  reset(): void {
    this.tries = 0;
  }
}
