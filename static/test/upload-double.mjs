// A server of tus uploads that breaks where the test wants it to, and a way to it.

import { TelstarError } from '../node_modules/.cache/telstar-test/client.mjs';

/** Keeps what it acknowledged, as the server does. */
export class FakeUploads {
  uploads = new Map();
  requests = [];
  /** What the next requests come to: a status, an object of a problem, or `lost` after so many bytes. */
  faults = [];
  /** Exchanges that wait until the test lets them go on. */
  held = [];
  isHolding = false;
  reportsProgress = true;
  #count = 0;

  send = (request) => {
    this.requests.push(request);
    let abort;
    const aborted = new Promise((_, reject) => {
      abort = () => reject(new TelstarError('network', 'aborted'));
    });
    aborted.catch(() => {});
    return { done: Promise.race([this.#answer(request), aborted]), abort };
  };

  /** Requests in short: `PATCH 3 @4` is three bytes from the fourth on. */
  get log() {
    return this.requests.map(({ method, headers, body }) => [method, ...(body === undefined ? [] : [body.length]), ...(headers['upload-offset'] === undefined ? [] : [`@${headers['upload-offset']}`])].join(' '));
  }

  release() {
    this.isHolding = false;
    this.held.splice(0).forEach((goOn) => goOn());
  }

  async #answer(request) {
    if (this.isHolding) await new Promise((goOn) => this.held.push(goOn));
    const fault = this.faults.shift();
    if (typeof fault === 'number') return reply(fault);
    if (fault?.status !== undefined) return reply(fault.status, fault.headers, JSON.stringify(fault));
    if (fault === 'lost') throw new TelstarError('network', 'lost');
    const { method, url, headers, body, onProgress } = request;
    if (method === 'POST') return this.#create(headers);
    const name = url.split('/').at(-1);
    const upload = this.uploads.get(name);
    if (upload === undefined) return reply(404);
    if (method === 'DELETE') {
      this.uploads.delete(name);
      return reply(204);
    }
    if (method === 'PATCH') {
      if (Number(headers['upload-offset']) !== upload.bytes.length) return reply(409, {}, JSON.stringify({ code: 'wrong_offset' }));
      const kept = fault?.keeps ?? body.length;
      onProgress?.(kept);
      upload.bytes += body.slice(0, kept);
      if (fault?.keeps !== undefined) throw new TelstarError('network', 'lost');
    }
    if (upload.bytes.length === upload.length && !upload.isPart) upload.asset ??= `asset-of-${name}`;
    return reply(method === 'PATCH' ? 204 : 200, { 'upload-offset': String(upload.bytes.length), 'telstar-asset': upload.asset });
  }

  #create(headers) {
    this.#count += 1;
    const name = `u${this.#count}`;
    const concat = headers['upload-concat'] ?? '';
    const parts = concat.startsWith('final;') ? concat.slice(6).split(' ').map((url) => this.uploads.get(url.split('/').at(-1))) : null;
    const bytes = parts === null ? '' : parts.map((part) => part.bytes).join('');
    const length = parts === null ? Number(headers['upload-length']) : bytes.length;
    const upload = { bytes, length, isPart: concat === 'partial', metadata: headers['upload-metadata'], asset: undefined };
    if (bytes.length === length && !upload.isPart) upload.asset = `asset-of-${name}`;
    this.uploads.set(name, upload);
    return reply(201, { location: `/api/v1/uploads/${name}`, 'telstar-asset': upload.asset });
  }
}

function reply(status, headers = {}, text = '') {
  return { status, header: (name) => headers[name] ?? null, text };
}

/** A file of this text. */
export function fileOf(text, name = 'film.mp4', lastModified = 1) {
  return { size: text.length, name, type: 'video/mp4', lastModified, slice: (start, end) => text.slice(start, end) };
}
