// Uploads and assets as a program of a user has them: over the API, with nothing but fetch.

import { createReadStream, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { until } from './process.mjs';

/** Bytes of one PATCH. */
const CHUNK = 8 * 1024 * 1024;

export class Library {
  constructor(server) { this.server = server; }

  async #send(method, url, headers = {}, body = undefined) {
    const authorization = `Bearer ${await this.server.adminToken()}`;
    return fetch(new URL(url, this.server.http), { method, headers: { authorization, ...headers }, body, ...(body && { duplex: 'half' }) });
  }

  /** The whole file in one request. */
  async post(file, { title = path.basename(file) } = {}) {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(statSync(file).size) };
    const body = statSync(file).size ? createReadStream(file) : undefined;
    const response = await this.#send('POST', `/api/v1/assets?title=${encodeURIComponent(title)}`, headers, body);
    const text = await response.text();
    return { status: response.status, location: response.headers.get('location'), ...(text && JSON.parse(text)) };
  }

  /** By tus, in chunks. Says when the last byte was acknowledged. */
  async upload(file, { title = path.basename(file), chunk = CHUNK } = {}) {
    const size = statSync(file).size;
    const metadata = `title ${Buffer.from(title).toString('base64')}`;
    const tus = { 'tus-resumable': '1.0.0' };
    const made = await this.#send('POST', '/api/v1/uploads', { ...tus, 'upload-length': String(size), 'upload-metadata': metadata });
    if (made.status !== 201) throw new Error(`POST /api/v1/uploads: ${made.status} ${await made.text()}`);
    const url = made.headers.get('location');
    let asset = made.headers.get('telstar-asset');
    const handle = await open(file);
    try {
      for (let at = 0; at < size;) {
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(Math.min(chunk, size - at)), 0, undefined, at);
        const sent = await this.#send('PATCH', url, { ...tus, 'content-type': 'application/offset+octet-stream', 'upload-offset': String(at) }, buffer.subarray(0, bytesRead));
        if (sent.status !== 204) throw new Error(`PATCH ${url}: ${sent.status} ${await sent.text()}`);
        at = Number(sent.headers.get('upload-offset'));
        asset = sent.headers.get('telstar-asset') ?? asset;
      }
    } finally {
      await handle.close();
    }
    return { asset, url, acknowledgedAt: performance.now() };
  }

  get(asset) { return this.server.api('GET', `/api/v1/assets/${asset}`); }

  async jobs(asset) { return (await this.server.api('GET', `/api/v1/assets/${asset}/jobs`)).jobs; }

  /** Waits until something can be watched, or never will be. */
  untilPlayable(asset, timeoutMs = 60_000, everyMs = 20) {
    return until(`asset ${asset} to be playable`, timeoutMs, async () => {
      const found = await this.get(asset);
      return (found.playable || found.state === 'failed') && found;
    }, everyMs);
  }

  /** Waits until nothing more is going to happen. */
  untilDone(asset, timeoutMs = 600_000, everyMs = 200) {
    const ended = new Set(['done', 'failed', 'cancelled']);
    return until(`the jobs of asset ${asset}`, timeoutMs, async () => {
      const found = await this.get(asset);
      if (found.state === 'processing') return null;
      // What waits for a job that failed waits until that is wanted again.
      const isOver = ({ state }) => ended.has(state) || (found.state === 'failed' && state === 'blocked');
      // What is listed is read behind the jobs: the last of them adds to it.
      return (await this.jobs(asset)).every(isOver) && this.get(asset);
    }, everyMs);
  }

  /** An address of a private asset with what lets anybody watch it. */
  async watchable(asset) {
    const { token } = await this.server.api('POST', `/api/v1/assets/${asset}/playback-tokens`, {});
    this.server.keepSecret(token);
    return `${this.server.http}/vod/${asset}/index.m3u8?t=${token}`;
  }
}
