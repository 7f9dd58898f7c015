/** Jobs as lines: what each makes, how far it is, and what can be done about it. */

import type { Job } from '../../client/index.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { busy } from '../shared/field.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { left, percent, sentence } from './logic.js';
import type { Context } from './context.js';

export interface JobLines {
  root: HTMLElement;
  update(jobs: readonly Job[]): void;
}

interface Line {
  root: HTMLElement;
  update(job: Job): void;
}

/** `isShort` leaves out what was cancelled, and what a card has no room for. */
export function buildJobLines(context: Context, isShort: boolean): JobLines {
  const root = h('ul', { class: 'job-lines' });
  const lines = new Map<number, Line>();
  return {
    root,
    update(jobs) {
      const shown = isShort ? jobs.filter((job) => job.state !== 'cancelled') : jobs;
      for (const id of [...lines.keys()]) if (!shown.some((job) => job.job === id)) lines.delete(id);
      const wanted = shown.map((job) => {
        let line = lines.get(job.job);
        if (line === undefined) {
          line = buildLine(context, job, isShort);
          lines.set(job.job, line);
        }
        line.update(job);
        return line.root;
      });
      const isSame = wanted.length === root.children.length && wanted.every((line, index) => root.children[index] === line);
      if (!isSame) replace(root, ...wanted);
      root.hidden = wanted.length === 0;
    },
  };
}

function buildLine(context: Context, first: Job, isShort: boolean): Line {
  const names = h('span', { class: 'mono small' });
  const what = h('span', { class: 'job-what' }, t(`job-kind.${first.kind}`), ' ', names);
  const how = h('span', { class: 'job-how' });
  const bar = h('progress', { class: 'bar', max: 1, value: 0, 'aria-label': t(`job-kind.${first.kind}`) });
  const problem = h('p', { class: 'asset-problem' });
  const retry = h('button', {
    type: 'button', class: 'button button-quiet is-small', 'data-name': 'retry-job',
    onclick: () => void busy(retry, async () => context.assets.putJob(await context.rest.retryJob(first.job))),
  }, icon('retry'), h('span', {}, t('job.retry')));
  const cancel = h('button', {
    type: 'button', class: 'icon-button', 'data-name': 'cancel-job', 'aria-label': t('job.cancel'), title: t('job.cancel'),
    onclick: () => void busy(cancel, async () => {
      await context.rest.cancelJob(first.job);
      const { attempts, ...job } = await context.rest.job(first.job);
      context.assets.putJob({ ...job, attempts: attempts.length });
    }),
  }, icon('close'));
  const root = h('li', { class: 'job-line', 'data-job': first.job },
    h('div', { class: 'job-head' }, what, how, retry, cancel), bar, problem);
  return {
    root,
    update(job) {
      setProp(root, 'data-state', job.state);
      if (!isShort) setText(names, job.renditions.join(', '));
      const isRunning = job.state === 'leased';
      bar.hidden = !isRunning;
      bar.value = job.progress;
      if (!isRunning) setText(how, t(`job-state.${job.state}`));
      else if (job.eta_secs === null) setText(how, `${percent(job.progress)} %`);
      else setText(how, t('job.left', { percent: percent(job.progress), left: String(t(left(job.eta_secs).key, { count: left(job.eta_secs).count })) }));
      problem.hidden = job.problem === null;
      setText(problem, sentence(job.problem ?? ''));
      retry.hidden = job.state !== 'failed' && job.state !== 'cancelled';
      cancel.hidden = job.state !== 'leased' && job.state !== 'ready' && job.state !== 'blocked';
    },
  };
}
