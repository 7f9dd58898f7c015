// The backend of an app whose users meet in a call: serves the page, and decides who gets a room token.
// Node 18 or newer, no dependency. It needs an API key of Telstar, and never speaks to Telstar itself.

import { createHmac, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const { TELSTAR_URL = 'http://localhost:8080', API_KEY_ID, API_KEY_SECRET, ROOM = 'demo', PORT = '3000' } = process.env;
if (!API_KEY_ID || !API_KEY_SECRET) {
  console.error('Set API_KEY_ID and API_KEY_SECRET; README.md says where they come from.');
  process.exit(1);
}

const LIFETIME_SECS = 3600;

/** A room token: a JSON Web Token (RFC 7519) that is signed with the API key's secret. */
function roomToken(identity, name) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: API_KEY_ID, // whose key verifies it
    sub: identity, // who this is for your app; the same identity twice is one person on a new device
    name, // what the others see
    room: ROOM,
    grants: ['join', 'publish', 'subscribe', 'chat'],
    nbf: now,
    exp: now + LIFETIME_SECS,
    jti: randomUUID(), // by which one token can be denied
  };
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', API_KEY_SECRET).update(signed).digest('base64url')}`;
}

const page = await readFile(new URL('index.html', import.meta.url));

createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
  } else if (url.pathname === '/token' && request.method === 'POST') {
    // Here your app looks at its own session: who asks, and may they join this room? This one believes any name.
    const name = url.searchParams.get('name')?.trim().slice(0, 100) || 'Guest';
    const token = roomToken(`user:${name}`, name);
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(JSON.stringify({ server: TELSTAR_URL, room: ROOM, token }));
  } else {
    response.writeHead(404).end();
  }
}).listen(Number(PORT), () => console.log(`http://localhost:${PORT}`));
