// A network made of namespaces: hosts on links of their own, joined by a router in which the script itself runs.
// In: names, rates, losses, blocks. Out: hosts in which commands are run. Knows nothing of servers and browsers.
//
// The script runs again in a network, a mount and a process namespace of its own (`enterLab`). Everything the lab makes
// lives in these, so the kernel takes it down with the script, however that ends, and runs do not see each other.
// The kernel's delay emulation (netem) is often missing; delay, jitter, reordering and duplication are in relay.mjs.

import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runDir } from './paths.mjs';

/** Where the public Internet of the lab is: addresses for documentation (RFC 5737), which no real network has. */
const PUBLIC = '203.0.113';
/** Each other host has a network of its own here, of the range for tests of devices (RFC 2544). */
const CLIENTS = '198.18';
/** The server's side of a 1:1 NAT. */
const PRIVATE = '192.168.77';
export const SERVER_PUBLIC = `${PUBLIC}.10`;

const COMMANDS = { unshare: 'util-linux', setpriv: 'util-linux', ip: 'iproute2', tc: 'iproute2', iptables: 'iptables' };
/** Run inside the new namespaces before the script: a /run of our own holds the names of the network namespaces. */
const PREPARE = 'mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/netns && ip link set lo up && exec "$@"';
const UNSHARE = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const INSIDE = 'E2E_IN_LAB';

/** Call it first, with `await`: outside of the lab it never returns, and ends with what the script inside ends with. */
export async function enterLab() {
  if (process.env[INSIDE] === '1') return;
  const wrap = [...UNSHARE, ...(process.getuid() === 0 ? [] : ['--map-root-user']), 'sh', '-c', PREPARE, 'lab'];
  const missing = whatIsMissing(wrap);
  if (missing.length) {
    console.error(`the network lab cannot be made here:\n${missing.map((line) => `  - ${line}`).join('\n')}`);
    process.exit(2);
  }
  // And when this process is killed without a word, so is that one.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...wrap, process.execPath, ...process.argv.slice(1)], { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
  // Its end is the end of every process in the lab (`--kill-child`, and a process namespace does not outlive its first).
  process.on('exit', () => child.kill('SIGKILL'));
  // The terminal sends its signals to the script inside as well; that one gets the time to write what it knows.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => setTimeout(() => process.exit(130), 2000));
  await new Promise((resolve) => { child.once('exit', (code) => { process.exit(code ?? 130); resolve(); }); });
}

function whatIsMissing(wrap) {
  const lines = Object.entries(COMMANDS).filter(([command]) => !works('sh', '-c', `command -v ${command}`))
    .map(([command, pack]) => `the command \`${command}\` (package ${pack})`);
  if (lines.length) return lines;
  const root = process.getuid() === 0 ? 'this root may not do it; in a container it needs the capability SYS_ADMIN' : 'this user may not; run it as root';
  if (!works('unshare', ...wrap, 'true')) return [`new network, mount and process namespaces: ${root}`];
  const needs = {
    'pairs of virtual interfaces (kernel module veth)': 'ip link add lab0 type veth peer name lab1',
    'rate limits (kernel module sch_tbf)': 'ip link add lab0 type veth peer name lab1 && tc qdisc add dev lab0 root tbf rate 1mbit burst 3000 latency 100ms',
    'random loss (kernel module xt_statistic)': 'iptables -A FORWARD -m statistic --mode random --probability 0.5 -j DROP',
    'address translation (kernel module nf_nat)': 'iptables -t nat -A PREROUTING -p udp -d 192.0.2.1 -j DNAT --to-destination 192.0.2.2',
  };
  return Object.entries(needs).filter(([, test]) => !works('unshare', ...wrap, 'sh', '-c', test)).map(([what]) => `${what}: ${root}, or the kernel lacks it`);
}

function works(command, ...args) {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function sh(command, ...args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${[command, ...args].join(' ')}: ${String(error.stderr || error.message).trim()}`);
  }
}

export class Lab {
  constructor() {
    if (process.env[INSIDE] !== '1') throw new Error('`await enterLab()` comes first');
    this.clients = 0;
    this.hosts = new Map();
    sh('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
  }

  /** A host on the public Internet; without an address a client with a network of its own. */
  host(name, { address } = {}) {
    const own = address ?? `${CLIENTS}.${this.clients += 1}.2`;
    this.link(name, own);
    return this.keep(new Host(name, name, own, own));
  }

  /**
   * A host with a private address behind another that owns the public one and translates every port of UDP and TCP,
   * as clouds do. Such routers also turn around what the host sends to its own public address.
   */
  behindNat(name, { address = SERVER_PUBLIC } = {}) {
    const [nat, inner] = [`${name}-nat`, `${PRIVATE}.2`];
    this.link(nat, address);
    namespace(name);
    sh('ip', '-n', nat, 'link', 'add', 'inside', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    sh('ip', '-n', nat, 'addr', 'add', `${PRIVATE}.1/24`, 'dev', 'inside');
    sh('ip', '-n', name, 'addr', 'add', `${inner}/24`, 'dev', 'eth0');
    up(nat, 'inside');
    up(name, 'eth0');
    sh('ip', '-n', name, 'route', 'add', 'default', 'via', `${PRIVATE}.1`);
    const table = (...args) => sh('ip', 'netns', 'exec', nat, ...args);
    table('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
    table('iptables', '-t', 'nat', '-A', 'PREROUTING', '-d', address, '-j', 'DNAT', '--to-destination', inner);
    table('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-s', inner, '-j', 'SNAT', '--to-source', address);
    return this.keep(new Host(name, nat, inner, address));
  }

  /** A namespace with a link to the router. Its two ends are `eth0` and `to-NAME`, and what crosses it has its own chains. */
  link(name, address) {
    const gateway = address.replace(/\d+$/, '1');
    const ours = interfaceOf(name);
    namespace(name);
    sh('ip', 'link', 'add', ours, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    sh('ip', 'addr', 'add', `${gateway}/24`, 'dev', ours);
    sh('ip', '-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    up(null, ours);
    up(name, 'eth0');
    sh('ip', '-n', name, 'route', 'add', 'default', 'via', gateway);
    for (const [chain, side] of [[`up-${name}`, '-i'], [`down-${name}`, '-o']]) {
      sh('iptables', '-N', chain);
      sh('iptables', '-A', 'FORWARD', side, ours, '-j', chain);
    }
  }

  keep(host) {
    this.hosts.set(host.name, host);
    return host;
  }

  /** Not needed at the end of a script; for a lab that is built again in the same one. */
  close() {
    sh('iptables', '-F');
    sh('iptables', '-t', 'nat', '-F');
    for (const line of sh('ip', 'netns', 'list').split('\n').filter(Boolean)) {
      const name = line.split(' ')[0];
      this.hosts.get(name)?.kill();
      sh('ip', 'netns', 'del', name);
    }
    for (const line of sh('iptables', '-S').split('\n')) {
      if (line.startsWith('-N ')) sh('iptables', '-X', line.slice(3));
    }
    this.hosts.clear();
    this.clients = 0;
  }
}

/** Nothing else listens in the script's namespace. */
let nextLoopbackPort = 9300;

/** Interfaces have at most 15 letters. */
const interfaceOf = (name) => `to-${name}`.slice(0, 15);

function namespace(name) {
  sh('ip', 'netns', 'add', name);
  up(name, 'lo');
}

/**
 * Bundles of packets (GSO) would be limited, lost and counted as one, so interfaces take single packets. An IPv6 address
 * that appears a second later by itself is a change of the network to a browser, which then drops what it loads.
 */
function up(name, device) {
  const where = name ? ['-n', name] : [];
  if (device !== 'lo') sh('ip', ...where, 'link', 'set', device, 'addrgenmode', 'none', 'gso_max_segs', '1');
  sh('ip', ...where, 'link', 'set', device, 'up');
}

/** Where commands run; the link between it and the router can be made bad. Down is towards the host. */
class Host {
  constructor(name, linkName, address, publicAddress) {
    Object.assign(this, { name, linkName, address, publicAddress });
    this.rules = { up: new Map(), down: new Map() };
    this.commands = 0;
  }

  /** The command line that runs `command` here: `spawn(...host.exec('ip', ['addr']))`. Its process id is the command's. */
  exec(command, args = []) { return ['ip', ['netns', 'exec', this.name, command, ...args]]; }

  run(command, ...args) { return sh('ip', 'netns', 'exec', this.name, command, ...args); }

  /** An executable that runs `command` here, for what starts a program by its path alone. */
  wrapper(command) {
    const file = path.join(runDir(), `${path.basename(command)}-in-${this.name}-${this.commands += 1}`);
    writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${this.name} ${command} "$@"\n`, { mode: 0o755 });
    return file;
  }

  /**
   * A rate, and how long a packet may wait for it; null takes it away. A queue of 300 ms is what home routers have
   * without queue management, or less. The burst is two packets, or what comes between two ticks of a clock of 100 Hz.
   */
  limit({ downKbps = null, upKbps = null, queueMs = 300 } = {}) {
    const sides = [[[], interfaceOf(this.linkName), downKbps], [['-n', this.linkName], 'eth0', upKbps]];
    for (const [where, device, kbps] of sides) {
      if (kbps === null) {
        const kinds = sh('tc', ...where, 'qdisc', 'show', 'dev', device);
        if (kinds.includes('tbf')) sh('tc', ...where, 'qdisc', 'del', 'dev', device, 'root');
      } else {
        const burst = Math.max(3200, Math.ceil((kbps * 1000) / 8 / 100));
        sh('tc', ...where, 'qdisc', 'replace', 'dev', device, 'root', 'tbf', 'rate', `${kbps}kbit`, 'burst', String(burst), 'limit', String(Math.max(burst, Math.ceil((kbps * queueMs) / 8))));
      }
    }
    return { down_kbps: downKbps, up_kbps: upKbps, queue_ms: queueMs };
  }

  /** The share of packets that vanish, each for itself; 0 takes it away. */
  lose({ down = 0, up: upwards = 0 } = {}) {
    const rule = (share) => (share > 0 ? ['-m', 'statistic', '--mode', 'random', '--probability', String(share), '-j', 'DROP'] : null);
    this.rule('loss', rule(down), rule(upwards));
    return { down, up: upwards };
  }

  /** Lets in only answers to what this host has sent, as home routers and most firewalls do. */
  refuseUnasked() { this.rule('unasked', ['-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP'], null); }

  /**
   * Swallows without an answer, as firewalls do. With a port only what is sent to, or comes from, that port elsewhere.
   * `reset` ends TCP connections at both ends instead, and refuses new ones.
   */
  block(protocol, { port = null, reset = false } = {}) {
    const answer = reset ? ['REJECT', '--reject-with', 'tcp-reset'] : ['DROP'];
    const one = (side) => ['-p', protocol, ...(port === null ? [] : [side, String(port)]), '-j', ...answer];
    this.rule(`block-${protocol}-${port}`, one('--sport'), one('--dport'));
  }

  unblock(protocol, { port = null } = {}) { this.rule(`block-${protocol}-${port}`, null, null); }

  /**
   * UDP from here to `target`:`port` is led to `port` of the script, where a relay takes it, and nothing passes beside it.
   * Answers of the relay look as if they came from the target.
   */
  redirect(target, port, relayPort) {
    const at = ['-p', 'udp', '-d', target, '--dport', String(port)];
    sh('iptables', '-t', 'nat', '-A', 'PREROUTING', '-i', interfaceOf(this.linkName), ...at, '-j', 'REDIRECT', '--to-ports', String(relayPort));
    this.rule('relay', ['-p', 'udp', '-s', target, '--sport', String(port), '-j', 'DROP'], [...at, '-j', 'DROP']);
  }

  /** Replaces the rules called `what`, one for each direction. */
  rule(what, down, upwards) {
    for (const [direction, rule] of [['down', down], ['up', upwards]]) {
      const rules = this.rules[direction];
      if (rule) rules.set(what, rule);
      else rules.delete(what);
      const chain = `${direction}-${this.linkName}`;
      sh('iptables', '-F', chain);
      for (const each of rules.values()) sh('iptables', '-A', chain, ...each);
    }
  }

  /**
   * A port of this host's loopback that the script reaches as the same port of its own: for programs that can be driven
   * from their own machine only.
   */
  reachLoopback() {
    const port = nextLoopbackPort += 1;
    const gateway = this.publicAddress.replace(/\d+$/, '1');
    sh('sysctl', '-q', '-w', 'net.ipv4.conf.all.route_localnet=1');
    this.run('sysctl', '-q', '-w', 'net.ipv4.conf.all.route_localnet=1');
    const tcp = ['-p', 'tcp', '--dport', String(port)];
    sh('iptables', '-t', 'nat', '-A', 'OUTPUT', '-d', '127.0.0.1', ...tcp, '-j', 'DNAT', '--to-destination', `${this.address}:${port}`);
    sh('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-d', this.address, ...tcp, '-j', 'SNAT', '--to-source', gateway);
    this.run('iptables', '-t', 'nat', '-A', 'PREROUTING', '-s', gateway, ...tcp, '-j', 'DNAT', '--to-destination', `127.0.0.1:${port}`);
    return port;
  }

  /** Ends every process here at once, as when the power goes. */
  kill() {
    const pids = sh('ip', 'netns', 'pids', this.name).split('\n').filter(Boolean).map(Number);
    for (const pid of pids) {
      // A child may have gone with its parent.
      try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ }
    }
    return pids.length;
  }

  /** Packets and bytes that were sent to, and came from, this port of the host, since the first call with this name. */
  count(protocol, port) {
    const name = `count-${protocol}-${port}`;
    if (!this.rules.up.has(name)) this.rule(name, ['-p', protocol, '--dport', String(port)], ['-p', protocol, '--sport', String(port)]);
    const read = (direction) => {
      const side = direction === 'down' ? 'dpt' : 'spt';
      const line = sh('iptables', '-L', `${direction}-${this.linkName}`, '-v', '-n', '-x').split('\n').find((each) => each.includes(`${protocol} ${side}:${port}`));
      const [packets, bytes] = line.trim().split(/\s+/).map(Number);
      return { packets, bytes };
    };
    return { in: read('down'), out: read('up') };
  }
}

/** For the head of a result file. */
export const labSystem = () => ({ kernel: os.release(), iptables: sh('iptables', '-V').trim() });
