// The server under test: started on free loopback ports with a data folder of its own; read only through what it
// prints and serves, as a user would.

import path from 'node:path';
import { cpuSecondsOf, memoryOf } from './meter.mjs';
import { freePorts, run, start, until } from './process.mjs';
import { runDir, telstarBinary } from './paths.mjs';

/** A debug build under load must still make it; nothing judges this time. */
const READY_TIMEOUT_MS = 60_000;

/** Every server of this run, for the check that follows each script: secrets appear in no log. */
export const launched = [];

export class Telstar {
  /**
   * `serveArgs` are passed through; `name` tells the log files of several servers apart. On a host of lab.mjs it has the
   * usual ports on all interfaces, and is spoken to by the host's public address. `ports` overrides some of them.
   */
  static async launch({ name = 'telstar', serveArgs = [], env = {}, host = null, ports = {} } = {}) {
    const server = new Telstar();
    Object.assign(server, { name, serveArgs, env, host, data: path.join(runDir(), `${name}-data`), binary: telstarBinary(), starts: 0 });
    server.log = '';
    server.secrets = new Set();
    launched.push(server);
    server.ports = { ...(host ? LAB_PORTS : await loopbackPorts()), ...ports };
    await server.start();
    // The banner follows the addresses; a configuration that prints none leaves its fields empty.
    await until('the banner', 5000, () => (server.banner = parseBanner(server.output)).watch, 10).catch(() => {});
    server.keepSecret(server.banner.streamKey, server.banner.signIn?.split('#')[1]);
    return server;
  }

  /** Starts (again) on the same ports and data. Records how long it took until the addresses were printed. */
  async start() {
    const args = ['serve', ...this.settings, '--print-addresses', '--print-secrets'];
    const [command, words] = this.host ? this.host.exec(this.binary, args) : [this.binary, args];
    this.output = '';
    this.addresses = null;
    const from = performance.now();
    this.starts += 1;
    this.process = start(`${this.name}-${this.starts}`, command, words, {
      env: this.env,
      onLine: (line, stream) => {
        if (stream === 'stderr') { this.log += `${line}\n`; return; }
        this.output += `${line}\n`;
        if (!this.addresses && line.startsWith('{') && line.includes('"http"')) {
          this.addresses = JSON.parse(line);
          this.readyMs = performance.now() - from;
        }
      },
    });
    await until('the server to print its addresses', READY_TIMEOUT_MS, () => {
      if (this.process.ended) throw new Error(`the server ended: ${this.process.tail.join('\n')}`);
      return this.addresses;
    }, 5);
    const at = (address) => (this.host ? address.replace(/^.*:/, `${this.host.publicAddress}:`) : address);
    this.http = `http://${at(this.addresses.http)}`;
    this.https = this.addresses.https ? `https://${at(this.addresses.https)}` : null;
    this.rtmp = `rtmp://${at(this.addresses.rtmp)}/live`;
    this.rtmps = this.addresses.rtmps ? `rtmps://${at(this.addresses.rtmps)}/live` : null;
  }

  /** What every command about this server is told, as one configuration file would. */
  get settings() {
    return ['--data', this.data, '--http', this.ports.http, '--https', this.ports.https, '--rtmp', this.ports.rtmp, '--rtmps', this.ports.rtmps, '--media', this.ports.media, ...this.serveArgs];
  }

  /** The ports that lib/tap.mjs listens at. */
  get tapped() {
    const port = (address) => Number(address.split(':').at(-1));
    return { rtmp: port(this.addresses.rtmp), media: port(this.addresses.media) };
  }

  get pid() { return this.process.child.pid; }

  /** The crash of acceptance line 4: no warning, nothing flushed. */
  async kill9() {
    this.process.child.kill('SIGKILL');
    await this.process.exited;
  }

  async stop() { return this.process.stop('SIGTERM', 15_000); }

  /** A short-lived API token, minted by the command an operator would use. */
  async adminToken() {
    this.token ??= (await run('token', this.binary, ['token', '--admin', '--data', this.data])).trim().split('\n').at(-1).trim();
    this.keepSecret(this.token);
    return this.token;
  }

  async api(method, pathname, body) {
    const response = await fetch(this.http + pathname, {
      method, headers: { authorization: `Bearer ${await this.adminToken()}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${pathname}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** A room with a Stream Key, made over the API: for scripts whose subject is not the page. */
  async room(name, title = name) {
    const room = await this.api('POST', '/api/v1/rooms', { title, name, open: true });
    const { key } = await this.api('POST', `/api/v1/rooms/${room.name}/stream-keys`, { label: 'e2e' });
    this.keepSecret(key);
    return { name: room.name, key, watch: `${this.http}/watch/${room.name}`, playlist: `${this.http}/live/${room.name}/index.m3u8`, whip: `${this.http}/whip/${room.name}`, whep: `${this.http}/whep/${room.name}`, rtmp: `${this.rtmp}/${key}` };
  }

  /** A room for calls; `mode` is `sfu` or `p2p`. */
  async callRoom(name, { title = name, mode = 'sfu' } = {}) {
    return this.api('POST', '/api/v1/rooms', { title, name, mode });
  }

  /** What lets `identity` into the calls of a room. */
  async callToken(room, identity, { grants = ['join', 'publish', 'subscribe'], name = identity } = {}) {
    const { token } = await this.api('POST', '/api/v1/tokens', { room, identity, name, grants });
    this.keepSecret(token);
    return token;
  }

  /** `telstar doctor` where the server runs, with its settings: what it found, each as `ok`, `note` or `BAD`, and how it ended. */
  async doctor() {
    const words = ['doctor', ...this.settings];
    const child = start('doctor', ...(this.host ? this.host.exec(this.binary, words) : [this.binary, words]), { env: this.env });
    const { code } = await child.exited;
    const findings = child.tail.map((line) => line.match(/^(ok|note|BAD) +(.*)$/)).filter(Boolean).map(([, grade, text]) => ({ grade, text }));
    return { code, findings, media: findings.filter(({ text }) => text.startsWith('media')) };
  }

  /** Waits until the room is watchable: the first playlist appears after one whole GOP. */
  async untilLive(room, timeoutMs = 40_000) {
    return until(`room ${room} to be live`, timeoutMs, async () => {
      const { live } = await this.api('GET', `/api/v1/rooms/${room}`);
      return live.state === 'live' && live;
    }, 200);
  }

  /** A new one-time sign-in link, from the command that an operator would use. */
  async signInLink() {
    const output = await run('sign-in', this.binary, ['sign-in', '--data', this.data]);
    const link = output.match(/https?:\/\/\S+\/sign-in#\S+/)?.[0];
    if (!link) throw new Error(`\`telstar sign-in\` printed no link: ${output}`);
    this.keepSecret(link.split('#')[1]);
    return link;
  }

  /** Remembers what must never stand in a log. */
  keepSecret(...values) { values.filter(Boolean).forEach((value) => this.secrets.add(value)); }

  /** Lines of the log (standard error; the banner on standard output shows two on purpose) that hold a secret. */
  leaks() {
    return this.log.split('\n').filter((line) => [...this.secrets].some((secret) => line.includes(secret)));
  }

  /** Resident and proportional memory of the process, in KiB. */
  memory() { return memoryOf(this.pid); }

  /** User and system CPU seconds so far. */
  cpuSeconds() { return cpuSecondsOf(this.pid); }
}

const LAB_PORTS = { http: '0.0.0.0:8080', https: '0.0.0.0:8443', rtmp: '0.0.0.0:1935', rtmps: '0.0.0.0:1936', media: '0.0.0.0:10000' };

async function loopbackPorts() {
  const ports = await freePorts(5);
  // Firefox does not use a loopback address for media, whatever its preferences say.
  return Object.fromEntries(['http', 'https', 'rtmp', 'rtmps', 'media'].map((name, i) => [name, `${name === 'media' ? '0.0.0.0' : '127.0.0.1'}:${ports[i]}`]));
}

/** What a person would copy from the terminal. Fields are null when the banner does not show them. */
export function parseBanner(text) {
  const one = (pattern) => text.match(pattern)?.[1] ?? null;
  return {
    text,
    signIn: one(/(https?:\/\/\S+\/sign-in#[^\s"']+)/),
    server: one(/(rtmp:\/\/[^\s"']+\/live)(?=[\s"']|$)/m),
    streamKey: one(/(?:^|[\s"'/=])(sk_[A-Za-z0-9_-]+)/m),
    ffmpegLine: one(/^\s*(?:\$\s*)?(ffmpeg .*)$/m),
    watch: one(/(https?:\/\/[^\s"']+\/watch\/[^\s"']+)/),
  };
}
