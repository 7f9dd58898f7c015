/** What was done to an asset: its jobs with their attempts and what their workers said, and renditions to make anew. */

import type { Asset, Job, Rendition } from '../../client/index.js';
import { h, replace, setText } from '../shared/dom.js';
import { busy } from '../shared/field.js';
import { language, t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { report } from '../shared/problems.js';
import { toast } from '../shared/toast.js';
import type { Context } from './context.js';
import { buildJobLines } from './job-lines.js';
import { formatBytes, isNewer, openJobs, qualityLabel } from './logic.js';
import { languageName } from '../shared/languages.js';

export interface JobsPanel {
  root: HTMLElement;
  showJob(job: Job): void;
  showAsset(asset: Asset): void;
  setJobs(jobs: readonly Job[]): void;
}

export function buildJobsPanel(context: Context, asset: Asset): JobsPanel {
  const jobs = new Map<number, Job>();
  const lines = buildJobLines(context, false);
  const quiet = h('p', { class: 'soft' }, t('job.none'));
  const renditions = h('ul', { class: 'rendition-list' });
  const made = h('h3', {}, t('job.renditions'));
  const log = h('div', { class: 'job-log' });
  const details = h('details', {
    class: 'details', 'data-name': 'job-log',
    ontoggle: () => {
      if (details.open) showLog();
    },
  }, h('summary', {}, t('job.log')), log);
  const root = h('section', { class: 'card jobs', 'data-name': 'jobs' },
    h('h2', {}, t('job.heading')), quiet, lines.root,
    made, renditions, details);

  function update(): void {
    const open = openJobs(jobs.values());
    quiet.hidden = open.length > 0;
    lines.update(open);
    if (details.open) showLog();
  }

  /** A closed entry costs nothing: what its worker said is asked for when it is opened. */
  function showLog(): void {
    const known = new Map([...log.children].map((entry) => [entry.getAttribute('data-job'), entry]));
    replace(log, ...[...jobs.values()].map((job) => (known.get(String(job.job)) as HTMLElement | undefined) ?? buildLogEntry(context, job)));
    for (const entry of log.children) {
      const job = jobs.get(Number(entry.getAttribute('data-job')));
      const state = entry.querySelector('.log-state');
      if (job !== undefined && state !== null) setText(state, t(`job-state.${job.state}`));
    }
  }

  function showRenditions(list: readonly Rendition[]): void {
    made.hidden = list.length === 0;
    replace(renditions, ...list.map((one) => buildRendition(context, asset.asset, one)));
  }
  showRenditions(asset.renditions);
  update();

  let shownRenditions = JSON.stringify(asset.renditions);
  return {
    root,
    setJobs(list) {
      list.forEach((job) => jobs.set(job.job, job));
      update();
    },
    showJob(job) {
      if (isNewer(job, jobs.get(job.job))) jobs.set(job.job, job);
      update();
    },
    showAsset(next) {
      // Rows are built again only when they differ, so that focus is not lost with each event.
      const shown = JSON.stringify(next.renditions);
      if (shown === shownRenditions) return;
      shownRenditions = shown;
      showRenditions(next.renditions);
    },
  };
}

function buildRendition(context: Context, asset: string, one: Rendition): HTMLElement {
  const again = h('button', {
    type: 'button', class: 'icon-button', 'aria-label': t('job.make-again', { name: one.name }), title: t('job.make-again', { name: one.name }),
    onclick: () => void busy(again, async () => {
      context.assets.putJob(await context.rest.makeRendition(asset, one.name));
      toast('info', t('job.made-again'));
    }),
  }, icon('retry'));
  const facts = [qualityLabel(one), one.codecs, languageName(one.language ?? '') ?? '', formatBytes(one.bytes)].filter((fact) => fact !== '');
  return h('li', { class: 'rendition', 'data-name': one.name },
    h('span', { class: 'mono' }, one.name), h('span', { class: 'rendition-facts soft small' }, facts.join(' · ')),
    one.whole ? null : h('span', { class: 'tag' }, t('job.growing')), again);
}

function buildLogEntry(context: Context, job: Job): HTMLElement {
  const attempts = h('div', { class: 'log-attempts' });
  const entry = h('details', {
    class: 'log-entry', 'data-job': job.job,
    ontoggle: () => {
      if (entry.open) context.rest.job(job.job).then(({ attempts: list }) => replace(attempts, ...list.map(attemptText)), report);
    },
  },
    h('summary', {}, h('span', {}, t(`job-kind.${job.kind}`)), ' ', h('span', { class: 'mono small' }, job.renditions.join(', ')), ' ', h('span', { class: 'log-state soft' })),
    attempts);
  return entry;
}

function attemptText({ attempt, began_at: beganAt, outcome, log }: { attempt: number; began_at: string; outcome: string; log: string }): HTMLElement {
  const at = (): string => new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(beganAt));
  return h('div', { class: 'log-attempt' },
    h('p', { class: 'small' }, t('job.attempt', () => ({ number: attempt, at: at(), outcome: outcome === '' ? '…' : outcome }))),
    log === '' ? null : h('pre', { class: 'code', tabindex: 0 }, h('code', {}, log)));
}
