// Servers of calls for `make bench ARGS=calls`: ours and those that people use today, each told the same way what it is
// to do. Started on free loopback ports and stopped again.

import { execFileSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cpuSecondsOf, memoryOf } from './meter.mjs';
import { freePorts, start, until } from './process.mjs';
import { runDir } from './paths.mjs';
import { Telstar } from './server.mjs';

/** Where Debian's package puts them. */
const JANUS_MODULES = process.env.JANUS_MODULES ?? `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/janus`;

/** Ours. Its `load` are the words that load takes for it. */
export async function telstar(name) {
  const server = await Telstar.launch({ name, env: { TELSTAR_LIMITS_HTTP_CONNECTIONS_PER_ADDRESS_MAX: '10000' } });
  return {
    name: 'Telstar',
    version: 'Telstar',
    pid: server.pid,
    cpuSeconds: () => server.cpuSeconds(),
    memory: () => server.memory(),
    stop: () => server.stop(),
    /** Its own count of datagrams, in and out. */
    async counts() {
      const text = await (await fetch(`${server.http}/metrics`)).text();
      const of = (what) => Number(text.match(new RegExp(`call_${what}_packets(?:_total)? (\\d+)`))?.[1] ?? NaN);
      return { sent: of('sent'), received: of('received'), late: of('late'), refused: of('refused') };
    },
    async load(rooms, people) {
      const names = rooms === 1 ? ['bench'] : Array.from({ length: rooms }, (_, i) => `bench${i}`);
      const tokens = [];
      for (const room of names) {
        await server.callRoom(room);
        for (let i = 0; i < people; i += 1) tokens.push(await server.callToken(room, `load-${i}`));
      }
      return ['--server', 'telstar', '--url', `${server.http.replace('http', 'ws')}/ws`, '--room', 'bench', '--tokens', tokenFile(name, tokens)];
    },
  };
}

/** Janus with its videoroom, whose executable `JANUS_BIN` names; `null` without one. No STUN, no TURN, no other plugin. */
export async function janus(name) {
  const binary = process.env.JANUS_BIN;
  if (!binary) return null;
  const folder = path.join(runDir(), name);
  mkdirSync(folder, { recursive: true });
  const [port] = await freePorts(1);
  const modules = (kind, only) => {
    const list = execFileSync('ls', [path.join(JANUS_MODULES, kind)], { encoding: 'utf8' }).split('\n').filter((file) => file.endsWith('.so') && file !== only);
    return `${kind}: { disable = "${list.join(',')}" }`;
  };
  writeFileSync(path.join(folder, 'janus.jcfg'), `general: {
  configs_folder = "${folder}"
  plugins_folder = "${JANUS_MODULES}/plugins"
  transports_folder = "${JANUS_MODULES}/transports"
  events_folder = "${folder}"
  loggers_folder = "${folder}"
  debug_level = 2
}
nat: { ice_enforce_list = "${address()}" }
media: { ipv6 = false }
events: { broadcast = false }
${modules('plugins', 'libjanus_videoroom.so')}
${modules('transports', 'libjanus_websockets.so')}
`);
  writeFileSync(path.join(folder, 'janus.transport.websockets.jcfg'), `general: { json = "compact" ws = true ws_ip = "127.0.0.1" ws_port = ${port} wss = false }\n`);
  writeFileSync(path.join(folder, 'janus.plugin.videoroom.jcfg'), 'general: { }\n');
  const listens = () => fetch(`http://127.0.0.1:${port}/`).then(() => true, (error) => error.cause?.code !== 'ECONNREFUSED');
  const help = execFileSync('sh', ['-c', '"$0" --help 2>&1 || true', binary], { encoding: 'utf8' });
  const version = help.match(/version: \d+ \(([\d.]+)\)/)?.[1] ?? '';
  return peer(name, { name: 'Janus', version: `Janus ${version}`, command: [binary, ['-F', folder, '-C', path.join(folder, 'janus.jcfg')]], listens,
    load: () => ['--server', 'janus', '--url', `ws://127.0.0.1:${port}`, '--room', '1234'] });
}

/** LiveKit, whose executable `LIVEKIT_BIN` names; `null` without one. */
export async function livekit(name) {
  const binary = process.env.LIVEKIT_BIN;
  if (!binary) return null;
  const folder = path.join(runDir(), name);
  mkdirSync(folder, { recursive: true });
  const [port, tcp, udp] = await freePorts(3);
  const secret = randomBytes(24).toString('hex');
  const file = path.join(folder, 'livekit.yaml');
  writeFileSync(file, `port: ${port}
bind_addresses: [127.0.0.1]
rtc: { udp_port: ${udp}, tcp_port: ${tcp}, use_external_ip: false, node_ip: ${address()} }
keys: { bench: ${secret} }
logging: { level: warn }
`);
  const listens = () => fetch(`http://127.0.0.1:${port}/`).then((response) => response.ok, () => false);
  const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim().split(' ').at(-1);
  return peer(name, { name: 'LiveKit', version: `LiveKit ${version}`, command: [binary, ['--config', file]], listens,
    load: (rooms, people) => {
      const names = rooms === 1 ? ['bench'] : Array.from({ length: rooms }, (_, i) => `bench${i}`);
      const tokens = names.flatMap((room) => Array.from({ length: people }, (_, i) => livekitToken(secret, room, `load-${i}`)));
      return ['--server', 'livekit', '--url', `ws://127.0.0.1:${port}`, '--room', 'bench', '--tokens', tokenFile(name, tokens)];
    } });
}

async function peer(name, { name: what, version, command, listens, load }) {
  const running = start(name, ...command);
  await until(`${what} to listen`, 15_000, () => {
    if (running.ended) throw new Error(`${what} ended: ${running.tail.join('\n')}`);
    return listens();
  });
  const { pid } = running.child;
  return {
    name: what, version, pid,
    cpuSeconds: () => cpuSecondsOf(pid),
    memory: () => memoryOf(pid),
    stop: () => running.stop('SIGTERM', 10_000),
    counts: async () => null,
    load: async (...of) => [...load(...of), '--ip', address()],
  };
}

/** An address of this machine: neither peer takes the loopback one for media. What is sent to it stays on loopback. */
function address() {
  const all = Object.values(os.networkInterfaces()).flat();
  return all.find((one) => one.family === 'IPv4' && !one.internal)?.address ?? '127.0.0.1';
}

function tokenFile(name, tokens) {
  const file = path.join(runDir(), `${name}-tokens.txt`);
  writeFileSync(file, tokens.join('\n'), { mode: 0o600 });
  return file;
}

function livekitToken(secret, room, identity) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const video = { room, roomJoin: true, canPublish: true, canSubscribe: true };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ iss: 'bench', sub: identity, nbf: now - 60, exp: now + 3600, video })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
