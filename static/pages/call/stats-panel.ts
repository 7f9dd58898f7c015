/** The overlay with figures: the path, every stream, and what the network was estimated to carry over the last two minutes. */

import type { Bandwidth, Call, ConnectionStats, StreamStats } from '../../client/index.js';
import { h, replace, setText } from '../shared/dom.js';
import { t, type Message } from '../shared/i18n.js';
import { formatBitrate } from '../shared/format.js';
import type { MessageKey } from '../shared/messages.js';
import { buildPanel } from './panels.js';
import { plotMax, polyline, type PlotPoint } from './logic.js';

const SAMPLE_EVERY_MS = 1_000;
const SPAN_MS = 120_000;
const BOX = { width: 600, height: 140 };
const SVG = 'http://www.w3.org/2000/svg';

export interface StatsPanel {
  root: HTMLElement;
  /** What was last measured. */
  latest(): ConnectionStats[];
  /** Only while it is shown does the server report its estimate. */
  shown(isShown: boolean): void;
  dispose(): void;
}

export function buildStatsPanel(call: Call): StatsPanel {
  const plot = buildPlot();
  const path = h('p', { class: 'stats-path' });
  const rows = h('tbody', {});
  const heads: MessageKey[] = ['stats.stream', 'stats.bitrate', 'stats.layer', 'stats.picture', 'stats.loss', 'stats.jitter', 'stats.freezes'];
  const { root } = buildPanel('section', 'stats', 'stats-panel', t('stats.heading'), path, plot.root,
    h('div', { class: 'stats-scroll', tabindex: 0, role: 'group', 'aria-label': t('stats.streams') }, h('table', { class: 'stats-table' },
      h('thead', {}, h('tr', {}, ...heads.map((key) => h('th', { scope: 'col' }, t(key))))), rows)));
  let latest: ConnectionStats[] = [];
  let bandwidth: Bandwidth | null = null;
  const stop = call.on('bandwidth', (next) => {
    bandwidth = next;
  });
  async function sample(): Promise<void> {
    latest = await call.stats().catch(() => []);
    const received = latest.reduce((sum, { receivedBps }) => sum + receivedBps, 0);
    plot.add(bandwidth?.estimate_bps ?? null, received);
    if (root.hidden) return;
    replace(path, ...latest.map((connection) => h('span', {}, pathText(call, connection))));
    replace(rows, ...latest.flatMap(({ streams }) => streams).filter(isWorthShowing).map((stream) => row(call, stream)));
    plot.draw();
  }
  const timer = setInterval(() => void sample(), SAMPLE_EVERY_MS);
  void sample();
  return {
    root,
    latest: () => latest,
    shown(isShown) {
      call.report(isShown).catch(() => {});
      if (isShown) void sample();
    },
    dispose() {
      clearInterval(timer);
      stop();
    },
  };
}

function isWorthShowing(stream: StreamStats): boolean {
  return stream.bitrateBps > 0 || stream.packets > 0;
}

function pathText(call: Call, { name, transport, roundTripMs, sentBps, receivedBps }: ConnectionStats): Message {
  const way = transport === null ? '–' : transport.toUpperCase();
  const trip = roundTripMs === null ? '' : `, ${Math.round(roundTripMs)} ms`;
  const figures = `${way}${trip}, ↑ ${formatBitrate(sentBps)}, ↓ ${formatBitrate(receivedBps)}`;
  if (name === 'publish') return t('stats.publish', { figures });
  if (name === 'subscribe') return t('stats.subscribe', { figures });
  return t('stats.direct', { figures, name: call.participants.get(name)?.name ?? '' });
}

function row(call: Call, stream: StreamStats): HTMLElement {
  const isSent = stream.direction === 'sent';
  const remote = isSent ? null : remoteOf(call, stream);
  const own = isSent ? [...call.localTracks].find(({ mediaTrack }) => mediaTrack.id === stream.mediaTrackId) : undefined;
  const name = isSent ? call.self.name : (remote?.participant.name ?? '');
  const source = remote?.source ?? own?.source ?? (stream.kind === 'audio' ? 'microphone' : 'camera');
  const layer = stream.rid ?? (remote?.layer === null || remote === null ? '' : `${remote.layer + 1} / ${Math.max(1, remote.layers.length)}`);
  const picture = stream.width === null ? '' : `${stream.width}×${stream.height ?? 0}${stream.frameRate === null ? '' : ` ${Math.round(stream.frameRate)}/s`}`;
  const cells = [
    t('stats.row', { arrow: isSent ? '↑' : '↓', source: String(t(`source.${source}`)), codec: stream.codec ?? '', name }),
    formatBitrate(stream.bitrateBps),
    layer,
    picture,
    stream.loss === null ? '' : `${(stream.loss * 100).toFixed(1)} %`,
    stream.jitterMs === null ? '' : `${Math.round(stream.jitterMs)} ms`,
    stream.freezes === null || isSent ? '' : `${stream.freezes} (${((stream.freezeMs ?? 0) / 1000).toFixed(1)} s)`,
  ];
  return h('tr', { 'data-direction': stream.direction, 'data-kind': stream.kind }, ...cells.map((cell) => h('td', {}, cell)));
}

function remoteOf(call: Call, stream: StreamStats) {
  for (const participant of call.participants.values()) {
    for (const track of participant.tracks.values()) {
      // Sections of several connections have the same names, so the media says more where the browser tells it.
      const isSame = stream.mediaTrackId === null ? track.mid !== null && track.mid === stream.mid : track.mediaTrack?.id === stream.mediaTrackId;
      if (isSame) return track;
    }
  }
  return null;
}

function buildPlot() {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${BOX.width} ${BOX.height}`, class: 'plot', preserveAspectRatio: 'none', 'aria-hidden': 'true' })) svg.setAttribute(name, value);
  const line = (kind: string): SVGElement => {
    const element = document.createElementNS(SVG, 'polyline');
    element.setAttribute('class', `plot-line plot-${kind}`);
    svg.append(element);
    return element;
  };
  const lines = { estimate: line('estimate'), received: line('received') };
  const top = h('span', { class: 'plot-top' });
  const points: Record<'estimate' | 'received', PlotPoint[]> = { estimate: [], received: [] };
  const root = h('figure', { class: 'plot-box' }, top, svg, h('figcaption', { class: 'plot-legend' },
    h('span', { class: 'legend legend-estimate' }, t('stats.estimate')), h('span', { class: 'legend legend-received' }, t('stats.received'))));
  return {
    root,
    add(estimate: number | null, received: number): void {
      const at = Date.now();
      if (estimate !== null) points.estimate.push({ at, value: estimate });
      points.received.push({ at, value: received });
      for (const list of Object.values(points)) while (list.length > SPAN_MS / SAMPLE_EVERY_MS + 1) list.shift();
    },
    draw(): void {
      const max = plotMax([...points.estimate, ...points.received].map(({ value }) => value));
      const box = { ...BOX, spanMs: SPAN_MS, now: Date.now(), max };
      for (const kind of ['estimate', 'received'] as const) lines[kind].setAttribute('points', polyline(points[kind], box));
      setText(top, formatBitrate(max));
    },
  };
}
