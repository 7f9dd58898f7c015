/** Ticks at the rate that it is told. Browsers slow the timers of a page that is out of sight down to one a second, but not a worker's. */

let timer: number | undefined;

self.onmessage = (message: MessageEvent<number>): void => {
  clearInterval(timer);
  if (message.data > 0) timer = setInterval(() => self.postMessage(null), 1000 / message.data);
};
