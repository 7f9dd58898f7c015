/** Line icons on a 24-unit grid. They are decoration: the control that holds one carries the label. */

const PATHS = {
  play: ['M8 5.5v13l10.5-6.5z'],
  pause: ['M8 5v14', 'M16 5v14'],
  volume: ['M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z', 'M15.5 9a4.2 4.2 0 0 1 0 6', 'M18 6.5a8 8 0 0 1 0 11'],
  muted: ['M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z', 'M16 9.5l5 5', 'M21 9.5l-5 5'],
  fullscreen: ['M4 9V4h5', 'M20 9V4h-5', 'M4 15v5h5', 'M20 15v5h-5'],
  exitFullscreen: ['M9 4v5H4', 'M15 4v5h5', 'M9 20v-5H4', 'M15 20v-5h5'],
  pip: ['M3.5 5.5h17v13h-17z', 'M12.5 12h5.5v4h-5.5z'],
  info: ['M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z', 'M12 11v5.5', 'M12 7.6v.1'],
  eye: ['M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z', 'M12 14.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6z'],
  copy: ['M9 9h11v11H9z', 'M15 9V4H4v11h5'],
  check: ['M5 12.5l4.5 4.5L19 7.5'],
  link: ['M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7L12 6.3', 'M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1.1-1.1'],
  rewind: ['M12 5a7.5 7.5 0 1 1-7.2 5.4', 'M12 1.8L8.6 5 12 8.2', 'M12 9v4l2.5 1.5'],
  bolt: ['M13 3L5.5 13.5h5L10 21l7.5-10.5h-5z'],
  lock: ['M6 11h12v9H6z', 'M8.5 11V8a3.5 3.5 0 0 1 7 0v3'],
  globe: ['M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z', 'M3.5 12h17', 'M12 3c2.6 2.5 3.8 5.5 3.8 9s-1.2 6.5-3.8 9c-2.6-2.5-3.8-5.5-3.8-9S9.4 5.5 12 3z'],
  plus: ['M12 5v14', 'M5 12h14'],
  trash: ['M4.5 7h15', 'M9.5 7V4.5h5V7', 'M6.5 7l1 13h9l1-13'],
  warning: ['M12 4L2.8 20h18.4z', 'M12 10v4.5', 'M12 17.2v.1'],
  back: ['M14.5 5.5L8 12l6.5 6.5'],
  sun: ['M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z', 'M12 2.5v2', 'M12 19.5v2', 'M2.5 12h2', 'M19.5 12h2', 'M5.3 5.3l1.4 1.4', 'M17.3 17.3l1.4 1.4', 'M5.3 18.7l1.4-1.4', 'M17.3 6.7l1.4-1.4'],
  moon: ['M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z'],
  key: ['M8 19a4 4 0 1 0 0-8 4 4 0 0 0 0 8z', 'M11 12.5L19.5 4', 'M16 7.5l3 3'],
  close: ['M6 6l12 12', 'M18 6L6 18'],
  external: ['M13.5 4.5h6v6', 'M19.5 4.5L11 13', 'M17.5 14v5.5h-13v-13H10'],
  broadcast: ['M12 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4z', 'M8 16a5.6 5.6 0 0 1 0-8', 'M16 8a5.6 5.6 0 0 1 0 8', 'M5 19a10 10 0 0 1 0-14', 'M19 5a10 10 0 0 1 0 14'],
  microphone: ['M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3z', 'M6 11.5a6 6 0 0 0 12 0', 'M12 17.5v3'],
  microphoneOff: ['M15 10.5v-4a3 3 0 0 0-5.8-1', 'M9 9.5v2a3 3 0 0 0 4.6 2.5', 'M6 11.5a6 6 0 0 0 9.6 4.8', 'M18 11.5a6 6 0 0 1-.4 2.1', 'M12 17.5v3', 'M4 4l16 16'],
  camera: ['M3.5 7h11v10h-11z', 'M14.5 10.5l6-3v9l-6-3'],
  cameraOff: ['M6.5 7H3.5v10h11v-2', 'M10 7h4.5v3.5l6-3v9l-3-1.5', 'M4 4l16 16'],
  screen: ['M3.5 5h17v11h-17z', 'M9 20h6', 'M12 16v4', 'M12 13V8.5', 'M9.8 10.5L12 8.2l2.2 2.3'],
  grid: ['M4 4.5h7v6.5H4z', 'M13 4.5h7v6.5h-7z', 'M4 13h7v6.5H4z', 'M13 13h7v6.5h-7z'],
  speakerLayout: ['M4 4.5h16v10H4z', 'M4 17h4.5v3H4z', 'M9.8 17h4.5v3H9.8z', 'M15.5 17H20v3h-4.5z'],
  people: ['M9 11.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z', 'M3.5 19a5.5 5.5 0 0 1 11 0', 'M15.5 5.8a3 3 0 0 1 0 5.4', 'M17 14a5.5 5.5 0 0 1 3.5 5'],
  settings: ['M4 7h9', 'M17 7h3', 'M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4z', 'M4 17h3', 'M11 17h9', 'M9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4z'],
  chart: ['M4 20V4', 'M4 20h16', 'M7.5 15.5l4-5 3 3 5-7'],
  help: ['M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z', 'M9.5 9.5a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.1.9-1.1 1.7', 'M12 16.6v.1'],
  hangUp: ['M4 14.5c5-4.5 11-4.5 16 0l-2.2 2.3-3.3-1.6v-2.3c-1.6-.5-3.4-.5-5 0v2.3l-3.3 1.6z'],
  signOut: ['M10 4.5H4.5v15H10', 'M15 8l4.5 4-4.5 4', 'M19 12H9.5'],
  upload: ['M12 16V4', 'M7.5 8.5L12 4l4.5 4.5', 'M4.5 15.5v4.5h15v-4.5'],
  download: ['M12 4v12', 'M7.5 11.5L12 16l4.5-4.5', 'M4.5 15.5v4.5h15v-4.5'],
  film: ['M3.5 5h17v14h-17z', 'M7.5 5v14', 'M16.5 5v14', 'M3.5 9.7h4', 'M3.5 14.3h4', 'M16.5 9.7h4', 'M16.5 14.3h4'],
  retry: ['M19.5 12a7.5 7.5 0 1 1-2.2-5.3', 'M19.5 3.2v4.3h-4.3'],
  subtitles: ['M3.5 5.5h17v13h-17z', 'M6.5 11h4', 'M13 11h4.5', 'M6.5 15h7', 'M16 15h1.5'],
  music: ['M9 18.5a2.5 2.5 0 1 1-2.5-2.5 2.5 2.5 0 0 1 2.5 2.5z', 'M19 16.5a2.5 2.5 0 1 1-2.5-2.5 2.5 2.5 0 0 1 2.5 2.5z', 'M9 18.5V6l10-2v12.5'],
} as const;

export type IconName = keyof typeof PATHS;
const SVG = 'http://www.w3.org/2000/svg';

export function icon(name: IconName): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.appendChild(path);
  }
  return svg;
}

/** The mark: a satellite on its orbit. */
export function logo(): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 32 32');
  svg.setAttribute('class', 'logo');
  svg.setAttribute('aria-hidden', 'true');
  const shapes: [string, Record<string, string>][] = [
    ['rect', { width: '32', height: '32', rx: '8', class: 'logo-ground' }],
    ['circle', { cx: '16', cy: '16', r: '5', class: 'logo-body' }],
    ['ellipse', { cx: '16', cy: '16', rx: '12', ry: '5', transform: 'rotate(-32 16 16)', class: 'logo-orbit' }],
  ];
  for (const [tag, attributes] of shapes) {
    const shape = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    svg.appendChild(shape);
  }
  return svg;
}
