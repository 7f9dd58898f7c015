// Servers that people use today, started beside ours on free loopback ports and stopped again.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cpuSecondsOf, memoryOf } from './meter.mjs';
import { freePorts, sleep, start, until } from './process.mjs';
import { REPO, runDir } from './paths.mjs';

class Peer {
  constructor(name) {
    this.name = name;
    this.folder = path.join(runDir(), name);
    mkdirSync(this.folder, { recursive: true });
  }

  /** The first process and its children. */
  get pids() {
    const first = this.process.child.pid;
    const parent = (pid) => { try { return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[1]); } catch { return 0; } };
    return [first, ...readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => parent(pid) === first)];
  }

  memory() { return memoryOf(...this.pids); }

  cpuSeconds() { return cpuSecondsOf(...this.pids); }

  async stop() { return this.process.stop('SIGTERM', 10_000); }
}

/** MediaMTX, whose executable `MEDIAMTX_BIN` names; `null` without one. `webrtc` turns WHIP and WHEP on. */
export async function mediamtx({ env = {}, webrtc = false } = {}) {
  const binary = process.env.MEDIAMTX_BIN && path.resolve(process.env.MEDIAMTX_BIN);
  if (!binary) return null;
  const peer = new Peer('mediamtx');
  const [rtmp, hls, whx, media] = await freePorts(4);
  const file = path.join(peer.folder, 'mediamtx.yml');
  // What is not measured is off; the part duration is ours.
  writeFileSync(file, `logLevel: warn
rtsp: no
${webrtc ? `webrtcAddress: 127.0.0.1:${whx}\nwebrtcLocalUDPAddress: :${media}\nwebrtcAdditionalHosts: [127.0.0.1]\nmoq: no` : 'webrtc: no'}
srt: no
rtmpAddress: 127.0.0.1:${rtmp}
hlsAddress: 127.0.0.1:${hls}
hlsVariant: lowLatency
hlsAlwaysRemux: yes
hlsPartDuration: 333ms
hlsSegmentDuration: 2s
paths:
  all_others:
`);
  peer.tapped = { rtmp, media };
  peer.process = start('mediamtx', binary, [file], { cwd: peer.folder, env });
  peer.version = `MediaMTX ${execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()}`;
  peer.room = async (name) => ({ rtmp: `rtmp://127.0.0.1:${rtmp}/live/${name}`, playlist: `http://127.0.0.1:${hls}/live/${name}/index.m3u8`, whip: `http://127.0.0.1:${whx}/live/${name}/whip`, whep: `http://127.0.0.1:${whx}/live/${name}/whep` });
  await until('MediaMTX to listen', 10_000, () => fetch(`http://127.0.0.1:${hls}/`).then(() => true, () => false));
  return peer;
}

/** nginx with one worker: files of a folder over HTTP, and RTMP. */
export async function nginx() {
  const peer = new Peer('nginx');
  const [http, rtmp] = await freePorts(2);
  const root = path.join(peer.folder, 'files');
  mkdirSync(root, { recursive: true });
  await startNginx(peer, http, {
    outside: `load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
rtmp { server { listen 127.0.0.1:${rtmp}; chunk_size 65536; application live { live on; } } }`,
    inside: `types { video/iso.segment m4s; }
  server { listen 127.0.0.1:${http}; root ${root}; }`,
  });
  peer.room = async (name) => ({ rtmp: `rtmp://127.0.0.1:${rtmp}/live/${name}` });
  peer.serve = (name, bytes) => { writeFileSync(path.join(root, name), bytes); return `http://127.0.0.1:${http}/${name}`; };
  return peer;
}

/** nginx as a cache in front of `origin`, with the lines that docs/hls.md gives. */
export async function nginxCache(origin) {
  const peer = new Peer('nginx-cache');
  const [http] = await freePorts(1);
  const page = readFileSync(path.join(REPO, 'docs/hls.md'), 'utf8');
  const zone = page.match(/`(proxy_cache_path [^`]+)`/)[1].replace('/var/cache/nginx', path.join(peer.folder, 'cache'));
  const location = page.match(/```nginx\n([\s\S]*?)```/)[1].replace('http://127.0.0.1:8080', origin);
  await startNginx(peer, http, { inside: `${zone}\n  server { listen 127.0.0.1:${http};\n${location} }` });
  peer.http = `http://127.0.0.1:${http}`;
  return peer;
}

/** nginx as docs/deploy.md puts it in front, on `host` of lab.mjs, with a certificate of its own. */
export async function nginxInFront(host, { name }) {
  const peer = new Peer('nginx-front');
  const [cert, key] = ['pem', 'key'].map((ending) => path.join(peer.folder, `live.${ending}`));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${name}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const page = readFileSync(path.join(REPO, 'docs/deploy.md'), 'utf8');
  // The lines as they stand; only the example's name and files become ours.
  const inside = page.match(/```nginx\n([\s\S]*?)```/)[1].replaceAll('live.example.org', name).replace('/etc/ssl/live.pem', cert).replace('/etc/ssl/live.key', key);
  peer.url = `http://${host.publicAddress}:80`;
  // The script speaks to the API without the certificate; browsers take the page's way.
  await startNginx(peer, null, { host, probe: `${peer.url}/healthz`, inside: `${inside}\n  server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }` });
  return peer;
}

async function startNginx(peer, http, { outside = '', inside, host = null, probe = `http://127.0.0.1:${http}/` }) {
  const file = path.join(peer.folder, 'nginx.conf');
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${peer.folder}/${kind};`);
  writeFileSync(file, `${outside}
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${peer.folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  ${folders.join('\n  ')}
  ${inside}
}
`);
  const command = ['nginx', ['-c', file, '-e', 'stderr']];
  peer.process = start(peer.name, ...(host ? host.exec(...command) : command));
  peer.version = execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' }).trim().replace(/^nginx version: /, '');
  await until('nginx to listen', 10_000, () => fetch(probe).then(() => true, () => false));
  await sleep(200);
}
