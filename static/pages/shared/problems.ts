/** Errors in plain words. Codes that the page knows are translated; of others the server's own sentence is shown. */

import { TelstarError } from '../../client/index.js';
import { t, type Message } from './i18n.js';
import { isMessageKey } from './messages.js';
import { toast } from './toast.js';

export function inWords(error: unknown): Message | string {
  if (!(error instanceof TelstarError)) return t('problem.unexpected');
  const key = `problem.${error.code}`;
  if (isMessageKey(key)) return t(key);
  if (error.status >= 500) return t('problem.server');
  return error.message;
}

/** Shows the error. Where the session has ended, the page begins anew and says how to sign in. */
export function report(error: unknown): void {
  if (error instanceof TelstarError && error.status === 401) {
    location.reload();
    return;
  }
  toast('error', inWords(error));
}
