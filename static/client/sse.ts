/** Server-sent events out of text that comes in pieces (HTML §9.2.6). Knows no connection. */

export interface ServerEvent {
  type: string;
  data: string;
}

export class SseParser {
  /** What the next request goes on behind; empty until the server has named one. */
  lastId = '';
  private rest = '';
  private type = '';
  private data: string[] = [];

  /** The events that are whole with this piece. */
  push(piece: string): ServerEvent[] {
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line !== '') {
        this.field(line);
        continue;
      }
      // An event without data changes the id and is not dispatched.
      if (this.data.length > 0) events.push({ type: this.type === '' ? 'message' : this.type, data: this.data.join('\n') });
      this.type = '';
      this.data = [];
    }
    return events;
  }

  /** The connection is another one: what had not come to its end is gone. */
  restart(): void {
    this.rest = '';
    this.type = '';
    this.data = [];
  }

  private field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.type = value;
    else if (name === 'data') this.data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.lastId = value;
  }
}
