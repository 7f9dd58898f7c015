// The call page as a person uses it, for what only the page can say. Finds things by `data-name`, as the page names them.

import { until } from './process.mjs';

/** Opens `/call/{room}` with a room token, up to the pre-join form. */
export async function callPage(browser, server, { room, identity, url = server.https, path = '/call', ...options }) {
  const token = await server.callToken(room, identity, options);
  const page = await browser.page();
  await page.goto(`${url}${path}/${room}#token=${token}`);
  const find = (fn, arg) => page.evaluate(fn, arg);
  const faultsOf = () => find(() => {
    const lines = [...document.querySelectorAll('[data-faults], [data-fault]')].filter(({ hidden }) => !hidden);
    const words = lines.flatMap(({ dataset }) => (dataset.faults ?? dataset.fault).split(' '));
    return { faults: [...new Set(words)].filter((word) => word && word !== 'running'), text: lines.map(({ innerText }) => innerText).join('\n') };
  });
  return {
    page, browser,
    screenshot: (name) => page.screenshot(name),
    close: () => page.close(),
    check: () => until('the check before joining', 15_000, () => find(() => { const said = document.querySelector('.check-list')?.dataset.faults; return said !== undefined && said !== 'running' && { said }; })).then(({ said }) => said.split(' ').filter(Boolean)),
    async join() {
      await until('the form before joining', 15_000, () => find((name) => {
        const [input, button] = [document.querySelector('input[name="name"]'), document.querySelector('[data-name="join"]')];
        if (!input || !button || button.disabled) return false;
        if (input.value === '') { input.value = name; input.dispatchEvent(new Event('input', { bubbles: true })); }
        button.click();
        return true;
      }, identity));
    },
    /** The faults that the page shows within a time, in its words; none is a finding too. */
    async fault(timeoutMs) {
      return until('the page to name a fault', timeoutMs, async () => { const said = await faultsOf(); return said.faults.length > 0 && said; }, 250).catch(faultsOf);
    },
    /** The pictures that move, by the names under them. */
    tiles: () => find(() => [...document.querySelectorAll('video')].map((video) => ({ width: video.videoWidth, height: video.videoHeight, time: video.currentTime, muted: video.muted }))),
  };
}
