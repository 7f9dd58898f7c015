"""The coded source of lib/inpage/timecode.mjs for clients in Python: pictures with their number in them, sound with its tone, and how both are read."""

import math
import struct

BITS = 16
CELL = 32
WIDTH, HEIGHT = 640, 360
BEEP_HZ = [700, 1000, 1500, 2200]
RATE = 48000


def luma(number: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """The brightness of picture `number`, row by row."""
    cells = [(number >> bit) & 1 for bit in range(BITS)]
    rest = bytes([16]) * (width - BITS * CELL)

    def row(bits):
        return b"".join((b"\xeb" if bit else b"\x10") * CELL for bit in bits) + rest

    below = [bytes([60 + (((y + 4 * number) >> 4) & 31) * 4]) * width for y in range(2 * CELL, height)]
    return row(cells) * CELL + row([1 - bit for bit in cells]) * CELL + b"".join(below)


def number_of(plane, stride: int, width: int) -> int | None:
    """The number in a picture of any size; None when it cannot be read."""
    cell = CELL * width / WIDTH
    number = 0
    for bit in range(BITS):
        column = int((bit + 0.5) * cell)
        top, bottom = plane[int(0.5 * cell) * stride + column], plane[int(1.5 * cell) * stride + column]
        if abs(top - bottom) < 80:
            return None
        if top > bottom:
            number += 1 << bit
    return number


def sound(at: int, samples: int, tone_hz: float) -> bytes:
    """So many mono samples of 16 bits from sample `at` of the source on."""
    values = []
    for index in range(at, at + samples):
        time = index / RATE
        since = time - int(time)
        value = 0.05 * math.sin(2 * math.pi * tone_hz * time)
        if since < 0.1:
            value += 0.4 * math.sin(2 * math.pi * BEEP_HZ[int(time) % 4] * since)
        values.append(int(value * 32767))
    return struct.pack(f"<{samples}h", *values)


def level(samples, rate: int, hz: float) -> float:
    """Power of a frequency in samples between -1 and 1, in dB below a full sine, under a Hann window."""
    count = len(samples)
    if count < 2:
        return -120.0
    coefficient = 2 * math.cos(2 * math.pi * hz / rate)
    one = two = 0.0
    for index, sample in enumerate(samples):
        hann = 0.5 - 0.5 * math.cos(2 * math.pi * index / (count - 1))
        one, two = sample * hann + coefficient * one - two, one
    power = one * one + two * two - coefficient * one * two
    return round(10 * math.log10(max(power / (count / 4) ** 2, 1e-12)), 1)


def beeps(chunks, step: int = 48):
    """Where beeps begin in `(time, samples)` that follow each other, in those times, and their pitch. As lib/inpage/meter.mjs looks for them."""
    energies, flat, times = [], [], []
    for time, samples in chunks:
        for at in range(0, len(samples) - step + 1, step):
            energies.append(sum(value * value for value in samples[at : at + step]) / step)
            times.append(time + at)
        flat.extend(samples[: len(samples) // step * step])
    before, after = 2 * RATE // 50 // step, RATE // 50 // step
    found, at = [], before
    while at + after < len(energies):
        quiet, loud = max(energies[at - before : at - 1]), sum(energies[at : at + after]) / after
        if energies[at] >= max(1e-2, 6 * quiet) and loud >= 1e-2:
            part = flat[at * step : at * step + 2400]
            levels = [level(part, RATE, hz) for hz in BEEP_HZ]
            found.append((times[at], levels.index(max(levels))))
            at += 3 * RATE // 10 // step
        at += 1
    return found
