/** What the parts of the library share. */

import type { Account, Rest, ServerFacts, Uploader } from '../../client/index.js';
import type { AssetStore } from './store.js';

export interface Context {
  rest: Rest;
  account: Account;
  server: ServerFacts;
  assets: AssetStore;
  uploader: Uploader;
}
