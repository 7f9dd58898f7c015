/** Asks for an asset until nothing more is to be expected of it: for those who may watch it and are told of no events. */

import { TelstarError, type Asset, type Rest } from '../../client/index.js';

/** Lower: the picture comes sooner after it can. Higher: fewer questions from many viewers. A guess. */
const ASK_EVERY_MS = 3_000;
/** Once it plays, only more qualities are to be expected. */
const ASK_PLAYABLE_EVERY_MS = 20_000;

/** `onAsset` gets null where there is none for us. Returns a function that ends it. */
export function followAsset(rest: Rest, name: string, onAsset: (asset: Asset | null) => void): () => void {
  let timer: number | undefined;
  let isOver = false;
  const again = (ms: number): void => {
    if (!isOver) timer = setTimeout(() => void ask(), ms);
  };
  async function ask(): Promise<void> {
    try {
      const asset = await rest.asset(name);
      if (isOver) return;
      onAsset(asset);
      if (asset.state === 'failed' || (asset.state === 'ready' && asset.progress >= 1)) return;
      again(asset.playable ? ASK_PLAYABLE_EVERY_MS : ASK_EVERY_MS);
    } catch (error) {
      if (isOver) return;
      if (error instanceof TelstarError && [401, 403, 404].includes(error.status)) onAsset(null);
      else again(ASK_EVERY_MS);
    }
  }
  void ask();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
