// A platform that stands still until told to go on: sockets that the test opens and closes, a clock that it moves.

export class FakeSocket {
  readyState = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  sent = [];
  closedWith = null;

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
  }

  answersPings = false;

  send(text) {
    const message = JSON.parse(text);
    if (message.type === 'ping' && this.answersPings) this.deliver({ re: message.id, ok: true });
    else this.sent.push(message);
  }

  close(code) {
    this.readyState = 3;
    this.closedWith = code ?? 1005;
  }

  accept() {
    this.readyState = 1;
    this.onopen?.({});
  }

  deliver(message) {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }

  /** Answers the last request of that type. */
  reply(type, fields = {}) {
    const request = this.sent.findLast((message) => message.type === type);
    this.deliver({ re: request.id, ok: true, ...fields });
  }

  fail(code = 1006, reason = '') {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

export class FakePlatform {
  sockets = [];
  requests = [];
  answers = [];
  now = 0;
  randomValue = 0;
  #timers = new Map();
  #lastTimer = 0;

  openSocket = (url, protocol) => {
    const socket = new FakeSocket(url, protocol);
    this.sockets.push(socket);
    return socket;
  };

  fetch = async (url, request) => {
    this.requests.push({ url, ...request });
    const answer = this.answers.shift();
    if (answer === undefined) throw new TypeError('fetch failed');
    const [status, body, headers = {}] = await answer;
    const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
    return { ok: status < 400, status, statusText: '', url: '', headers: { get: (name) => headers[name] ?? null }, text: async () => text };
  };

  setTimer = (callback, delayMs) => {
    this.#lastTimer += 1;
    this.#timers.set(this.#lastTimer, { callback, at: this.now + delayMs });
    return this.#lastTimer;
  };

  clearTimer = (handle) => {
    this.#timers.delete(handle);
  };

  random = () => this.randomValue;

  onNetworkChange = (listener) => {
    this.changeNetwork = listener;
    return () => {
      this.changeNetwork = () => {};
    };
  };

  onPageHide = (listener) => {
    this.hidePage = listener;
    return () => {
      this.hidePage = () => {};
    };
  };

  get socket() {
    return this.sockets.at(-1);
  }

  get timerCount() {
    return this.#timers.size;
  }

  /** Moves the clock and runs what is due, in order. */
  async advance(ms) {
    const until = this.now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.now = due[1].at;
      due[1].callback();
      await settle();
    }
    this.now = until;
    await settle();
  }
}

/** Lets promises that are already decided run their callbacks. */
export async function settle() {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
