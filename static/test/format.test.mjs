import assert from 'node:assert/strict';
import test from 'node:test';
import { formatBitrate, formatFrameRate, formatLatency, formatSampleRate, formatUptime, normaliseOrigin } from '../node_modules/.cache/telstar-test/format.mjs';

function check(format, cases) {
  for (const [input, expected] of cases) assert.equal(format(input), expected, String(input));
}

test('uptimes_count_hours_on', () => {
  check(formatUptime, [[0, '0:00'], [-5, '0:00'], [59.9, '0:59'], [754, '12:34'], [3_661, '1:01:01'], [273_906, '76:05:06']]);
});

test('rates_have_units_people_know', () => {
  check(formatBitrate, [[64_000, '64 kb/s'], [999_400, '999 kb/s'], [2_500_000, '2.5 Mb/s'], [12_345_678, '12 Mb/s']]);
  check(formatFrameRate, [[30, '30'], [29.97003, '29.97'], [23.976, '23.98']]);
  check(formatSampleRate, [[48_000, '48 kHz'], [44_100, '44.1 kHz'], [22_050, '22.1 kHz']]);
});

test('origins_are_written_as_browsers_write_them', () => {
  check(normaliseOrigin, [
    ['example.com', 'https://example.com'],
    [' HTTPS://Example.com/ ', 'https://example.com'],
    ['http://example.com:80', 'http://example.com'],
    ['https://example.com:443', 'https://example.com'],
    ['http://localhost:3000', 'http://localhost:3000'],
    ['https://[::1]:8443', 'https://[::1]:8443'],
    ['https://example.com/path', null],
    ['javascript:alert(1)', null],
    ["https://example.com; script-src 'unsafe-inline'", null],
    ['', null],
    ['*', null],
  ]);
});

test('latency_below_a_second_has_two_digits', () => {
  check(formatLatency, [[0.183, '0.18'], [0.994, '0.99'], [0.996, '1.0'], [2.14, '2.1']]);
});
