/** The one error type of the library. `code` is stable and is what callers decide on; `message` is for people. */

export class TelstarError extends Error {
  override readonly name = 'TelstarError';

  constructor(
    /** A problem's `code` (RFC 9457), a reply's error code, or one of `network`, `timeout`, `closed`, `busy`, `bad_reply`. */
    readonly code: string,
    message: string,
    /** The HTTP status, 0 where there is none. */
    readonly status: number = 0,
    /** How long the server asks to wait before the next try (RFC 9110 §10.2.3), where it does. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }

  /** True where nothing was answered, so that trying again later may help. */
  get isTransient(): boolean {
    return this.code === 'network' || this.code === 'timeout' || this.code === 'closed' || this.status >= 500;
  }
}
