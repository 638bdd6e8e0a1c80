"""The things that the procedural scenes are put together from. Places and sizes are in the Canvas's units."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .canvas import Canvas, Colour, box, ellipse


def clouds(c: Canvas, colour: Colour, low: float, amount: float) -> None:
    fade = np.clip((low - c.y) / low, 0, 1) ** 0.4
    stretched = ndimage.zoom(c.cloud[::3, :], (3, 1), order=1)[: len(c.cloud)]
    density = np.clip((stretched + 2.2 * amount - 0.7) * 0.9, 0, 1) * fade
    c.blend(0.9 * density, colour)
    shade = np.clip(density - np.roll(density, -int(0.05 * c.unit), axis=0), 0, 1)
    c.blend(0.5 * shade, np.asarray(colour) * 0.72)


def ridge(c: Canvas, height: float, relief: float, top: Colour, bottom: Colour, depth: float = 0.7) -> None:
    x = np.linspace(-0.1, 4.1, 80)
    phase = c.rng.uniform(0, 2 * np.pi, 5)
    y = height - relief * sum(np.sin(1.4 * 1.9**k * x + phase[k]) / 1.8**k for k in range(5)) / 1.6
    c.fill([*zip(x, y, strict=True), (4.1, height + depth), (-0.1, height + depth)], top, bottom, grain=12)


def house(c: Canvas, x: float, width: float, base: float, height: float, wall: Colour) -> None:
    top, peak = base - height, base - height - c.rng.uniform(0.75, 0.95) * width
    c.fill(box(x, top, x + width, base), wall, np.multiply(wall, 0.82), grain=7)
    roof = np.array([(168, 66, 46), (142, 58, 48), (120, 66, 58)][c.rng.integers(3)])
    c.fill([(x - 0.02, top), (x + width / 2, peak), (x + width + 0.02, top)], np.multiply(wall, 0.97), wall, grain=5)
    for a, b in (
        ((x - 0.03, top + 0.02), (x + width / 2, peak)),
        ((x + width / 2, peak), (x + width + 0.03, top + 0.02)),
    ):
        c.line([a, b], 0.05, roof)
    c.fill(box(x + width * 0.9, top, x + width, base), (40, 30, 40), opacity=0.25)
    rows = int(height // 0.2)
    columns = 2 if width < 0.37 else 3
    for i in range(rows):
        for j in range(columns):
            left, up = x + width * (j + 0.5) / columns - 0.038, top + 0.05 + i * 0.2
            c.fill(box(left - 0.014, up - 0.014, left + 0.09, up + 0.124), (246, 240, 228))
            c.fill(box(left, up, left + 0.076, up + 0.11), (44, 54, 72), (86, 104, 126))
            c.line([(left + 0.038, up), (left + 0.038, up + 0.11)], 0.01, (240, 234, 220))
    c.fill(box(x + width / 2 - 0.03, top - 0.14, x + width / 2 + 0.03, top - 0.05), (50, 50, 64))


def church(c: Canvas, x: float, base: float) -> None:
    c.fill(box(x - 0.14, 0.86, x + 0.14, base), (226, 206, 176), (196, 172, 146), grain=8)
    c.fill(box(x + 0.05, 0.86, x + 0.14, base), (90, 74, 84), opacity=0.4)
    c.fill([(x - 0.17, 0.87), (x, 0.2), (x + 0.17, 0.87)], (74, 108, 104), (52, 74, 80))
    c.fill([(x, 0.2), (x + 0.17, 0.87), (x + 0.03, 0.87)], (36, 52, 62), opacity=0.6)
    c.fill(ellipse(x - 0.01, 1.0, 0.065, 0.065), (248, 242, 226))
    c.line([(x - 0.01, 1.0), (x - 0.01, 0.95)], 0.014, (40, 36, 40))
    c.line([(x - 0.01, 1.0), (x + 0.025, 1.01)], 0.014, (40, 36, 40))
    c.fill(box(x - 0.05, 1.14, x + 0.03, 1.32), (56, 52, 62))


def reflect(c: Canvas, level: float, water: Colour) -> None:
    """Below `level` the picture above, upside down, darker, rippled sideways."""
    line = int(level * c.unit)
    rows = len(c.rgb) - line
    depth = np.arange(rows)
    source = np.clip(line - 1 - (depth * 1.25).astype(int), 0, line - 1)
    ripple = ndimage.gaussian_filter1d(c.noise.standard_normal(rows), 3)
    shift = (ripple / ripple.std() * (2 + depth * 0.03)).astype(int)
    for row, (above, offset) in enumerate(zip(source, shift, strict=True)):
        c.rgb[line + row] = np.roll(c.rgb[above], offset, axis=0)
    c.rgb[line:] *= 0.72
    c.blend(np.where(c.y > level, 0.18 + 0.3 * (c.y - level), 0) * np.ones_like(c.x), water)
    glint = ndimage.gaussian_filter(c.noise.standard_normal(c.rgb.shape[:2]), (1.5, 22))
    c.rgb += np.where(c.y > level, 90, 0)[..., None] * np.clip(glint / glint.std() - 1.3, 0, 1)[..., None] * 0.7


def rowing_boat(c: Canvas, x: float, y: float) -> None:
    c.fill(ellipse(x + 0.03, y + 0.11, 0.4, 0.05), (16, 30, 40), blur=0.03, opacity=0.6)
    c.fill(
        [(x - 0.42, y - 0.05), (x + 0.4, y - 0.07), (x + 0.28, y + 0.1), (x - 0.3, y + 0.1)],
        (150, 52, 38),
        (84, 30, 28),
    )
    c.line([(x - 0.42, y - 0.05), (x + 0.4, y - 0.07)], 0.026, (238, 220, 180))
    c.fill([(x - 0.08, y - 0.04), (x - 0.02, y - 0.3), (x + 0.1, y - 0.3), (x + 0.14, y - 0.05)], (50, 62, 96))
    c.ball((x + 0.04, y - 0.37), (0.065, 0.075), (216, 164, 128))
    c.line([(x - 0.3, y + 0.16), (x + 0.02, y - 0.18), (x + 0.36, y + 0.14)], 0.02, (196, 156, 100))


def tree(c: Canvas, root: tuple[float, float], size: float) -> None:
    """Branches by recursion, leaves as dabs around their ends."""
    stack = [(np.array(root), -np.pi / 2 + 0.06, 0.62 * size, 0.1 * size)]
    tips = []
    while stack:
        start, angle, length, width = stack.pop()
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        c.line([start, end], width, (58, 42, 34))
        if width < 0.022:
            tips.append(end)
            continue
        for turn in (-0.5, 0.45, 0.05)[: 3 if width > 0.05 else 2]:
            stack.append((end, angle + turn + c.rng.normal(0, 0.14), length * c.rng.uniform(0.6, 0.78), width * 0.62))
    for tip in tips:
        for _ in range(14):
            x, y = tip + c.rng.normal(0, 0.09, 2)
            tone = c.rng.uniform(0.5, 1.15) * (1.15 - 0.25 * (x - tip[0] + y - tip[1]) / 0.1)
            c.fill(ellipse(x, y, 0.035, 0.022, 8), np.clip(np.multiply((96, 128, 44), tone), 0, 255))


def bottle(c: Canvas, x: float, base: float) -> None:
    profile = [(0.2, 0), (0.21, -0.9), (0.19, -1.02), (0.08, -1.2), (0.075, -1.52)]
    outline = [(x - w, base + y) for w, y in profile] + [(x + w, base + y) for w, y in reversed(profile)]
    c.fill(ellipse(x + 0.3, base + 0.03, 0.4, 0.06), (50, 30, 24), blur=0.04, opacity=0.7)
    c.fill(outline, (40, 84, 56), (16, 44, 34), blur=0.006)
    c.fill([(x - 0.14, base - 0.1), (x - 0.15, base - 0.95), (x - 0.08, base - 1.05), (x - 0.08, base - 0.1)],
           (150, 206, 160), (64, 120, 86), blur=0.025, opacity=0.8)  # fmt: skip
    c.fill(box(x + 0.1, base - 1.0, x + 0.19, base), (6, 20, 18), blur=0.03, opacity=0.7)
    c.fill(box(x - 0.2, base - 0.72, x + 0.205, base - 0.32), (234, 218, 178), (206, 186, 144), grain=6)
    c.line([(x - 0.14, base - 0.58), (x + 0.14, base - 0.58)], 0.03, (140, 40, 36))
    c.line([(x - 0.1, base - 0.46), (x + 0.1, base - 0.46)], 0.015, (70, 56, 48))
    c.fill(box(x - 0.08, base - 1.6, x + 0.08, base - 1.47), (176, 130, 84), (140, 96, 60))


def jug(c: Canvas, x: float, base: float) -> None:
    c.fill(ellipse(x + 0.35, base + 0.02, 0.5, 0.07), (50, 30, 24), blur=0.04, opacity=0.7)
    handle = [(x + 0.24 + 0.26 * np.sin(t), base - 0.52 - 0.27 * np.cos(t)) for t in np.linspace(0, np.pi, 16)]
    c.line(handle, 0.07, (44, 74, 128))
    c.fill(
        [(x - 0.17, base - 0.95), (x + 0.17, base - 0.95), (x + 0.2, base - 0.5), (x - 0.2, base - 0.5)],
        (78, 118, 176),
        (60, 96, 156),
    )
    c.ball((x, base - 0.36), (0.36, 0.38), (84, 126, 190), grain=4, gloss=0.8)
    c.fill(
        [(x - 0.16, base - 0.93), (x - 0.06, base - 0.93), (x - 0.08, base - 0.62), (x - 0.19, base - 0.6)],
        (206, 224, 240),
        blur=0.03,
        opacity=0.7,
    )
    c.fill(ellipse(x, base - 0.95, 0.17, 0.045), (24, 36, 62))
    c.line([(x - 0.35, base - 0.36), (x, base - 0.31), (x + 0.35, base - 0.36)], 0.03, (238, 236, 226))


def bowl_of_fruit(c: Canvas, x: float, base: float) -> None:
    c.fill(ellipse(x + 0.25, base + 0.36, 0.75, 0.1), (70, 56, 60), blur=0.05, opacity=0.7)
    c.fill(ellipse(x, base - 0.16, 0.72, 0.16), (70, 84, 100), (40, 50, 66))
    fruit = [(-0.4, -0.3, 0.23, (206, 60, 40)), (0.02, -0.46, 0.25, (232, 150, 40)), (0.42, -0.3, 0.22, (132, 164, 54)),
             (-0.18, -0.2, 0.22, (228, 184, 60)), (0.22, -0.18, 0.21, (196, 44, 44))]  # fmt: skip
    for dx, dy, size, colour in fruit:
        c.ball((x + dx, base + dy), (size, size * 0.96), colour, grain=5)
        c.line([(x + dx, base + dy - size * 0.85), (x + dx + 0.03, base + dy - size * 1.1)], 0.02, (70, 46, 28))
    for k in range(16):
        row, place = divmod(k, 4)
        at = (x + 0.56 + 0.075 * place - 0.02 * row, base - 0.22 + 0.085 * row + 0.012 * place)
        c.ball(at, (0.058, 0.06), (96, 44, 104), gloss=0.9)
    bowl = [(x + 0.72 * np.cos(t), base - 0.14 + 0.5 * np.sin(t) ** 0.9) for t in np.linspace(0, np.pi, 40)]
    bowl += [(x + 0.72 * np.cos(t), base - 0.14 + 0.13 * np.sin(t)) for t in np.linspace(np.pi, 0, 40)]
    c.fill(bowl, (232, 236, 240), (112, 128, 152), grain=3)
    c.fill(
        [(x + 0.25, base), (x + 0.66, base - 0.08), (x + 0.5, base + 0.2), (x + 0.2, base + 0.34)],
        (50, 62, 90),
        blur=0.08,
        opacity=0.5,
    )
    c.line(
        [(x + 0.6 * np.cos(t), base + 0.02 + 0.16 * np.sin(t)) for t in np.linspace(0.1, np.pi - 0.1, 24)],
        0.035,
        (44, 82, 158),
    )


def row_of_buildings(c: Canvas, vanishing: np.ndarray, side: float, walls: list[tuple[int, int, int]]) -> None:
    """Fronts along one side of the street; depth s = 0 is nearest, 1 the vanishing point."""
    edges = [-0.25, 0.24, 0.44, 0.6, 0.72, 0.82]
    for k in reversed(range(len(walls))):
        top = c.rng.uniform(-1.9, -1.35) - 0.9 * (k % 2)

        def place(s: float, height: float) -> tuple[float, float]:
            return vanishing[0] + (1 - s) * side, vanishing[1] + (1 - s) * height

        near, far = edges[k], edges[k + 1]
        shade = np.multiply(walls[k], 1 - 0.06 * k) + 14 * k * np.array([0.5, 0.4, 0.4])
        c.fill([place(near, 0.9), place(far, 0.9), place(far, top), place(near, top)], shade, shade * 0.86, grain=6)
        c.line([place(near, top), place(far, top)], 0.05 * (1 - near), shade * 0.6)
        for s in np.linspace(near + 0.02, far - 0.035, 4 if k < 2 else 3):
            for height in np.arange(top + 0.14, 0.45, 0.3):
                window = [place(s, height), place(s + 0.1 * (far - near), height)]
                window += [place(s + 0.1 * (far - near), height + 0.18), place(s, height + 0.18)]
                lit = c.rng.random() < 0.3
                c.fill(window, (255, 216, 130) if lit else (52, 56, 80), (250, 190, 96) if lit else (82, 84, 110))
        door = [place(near + 0.04, 0.55), place(far - 0.04, 0.55), place(far - 0.04, 0.88), place(near + 0.04, 0.88)]
        c.fill(door, (46, 40, 54), (74, 60, 62))
        awning = [place(near + 0.03, 0.46), place(far - 0.03, 0.46), place(far - 0.03, 0.6), place(near + 0.03, 0.6)]
        c.fill(awning, [(176, 48, 44), (44, 96, 92), (206, 150, 52)][k % 3])


def street_lamp(c: Canvas, vanishing: np.ndarray, share: float) -> None:
    size = 1 - share
    for side in (-1.25, 1.3):
        x, foot = vanishing[0] + size * side, vanishing[1] + size * 0.95
        top = foot - 1.15 * size
        c.line([(x, foot), (x, top)], 0.035 * size, (36, 34, 46))
        c.line([(x, top), (x - 0.2 * side * size, top - 0.05 * size)], 0.026 * size, (36, 34, 46))
        c.fill(
            ellipse(x - 0.22 * side * size, top, 0.12 * size, 0.1 * size),
            (255, 226, 150),
            blur=0.05 * size,
            opacity=0.8,
        )
        c.fill(ellipse(x - 0.22 * side * size, top, 0.05 * size, 0.045 * size), (255, 246, 216))


def car(c: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    c.fill(ellipse(x, y + 0.02 * size, 0.62 * size, 0.1 * size), (24, 22, 30), blur=0.02, opacity=0.8)
    c.fill([(x - 0.34 * size, y - 0.4 * size), (x - 0.24 * size, y - 0.72 * size), (x + 0.24 * size, y - 0.72 * size),
            (x + 0.34 * size, y - 0.4 * size)], np.multiply(colour, 0.8), colour)  # fmt: skip
    c.fill([(x - 0.27 * size, y - 0.42 * size), (x - 0.2 * size, y - 0.65 * size), (x + 0.2 * size, y - 0.65 * size),
            (x + 0.27 * size, y - 0.42 * size)], (60, 74, 100), (130, 130, 140))  # fmt: skip
    c.fill(box(x - 0.5 * size, y - 0.42 * size, x + 0.5 * size, y - 0.06 * size), colour, np.multiply(colour, 0.6))
    for side in (-1, 1):
        c.fill(
            box(
                x + side * 0.4 * size - 0.1 * size, y - 0.1 * size, x + side * 0.4 * size + 0.1 * size, y + 0.05 * size
            ),
            (22, 22, 28),
        )
        c.fill(ellipse(x + side * 0.38 * size, y - 0.28 * size, 0.07 * size, 0.06 * size), (255, 92, 70))


def walker(c: Canvas, x: float, y: float, size: float) -> None:
    c.fill(ellipse(x + 0.05 * size, y, 0.3 * size, 0.05 * size), (30, 28, 36), blur=0.015, opacity=0.7)
    coat = [(40, 40, 60), (110, 42, 48), (54, 70, 64)][c.rng.integers(3)]
    c.line([(x - 0.06 * size, y), (x, y - 0.45 * size), (x + 0.08 * size, y)], 0.09 * size, (30, 28, 38))
    c.fill([(x - 0.15 * size, y - 0.35 * size), (x - 0.12 * size, y - 0.8 * size), (x + 0.12 * size, y - 0.8 * size),
            (x + 0.16 * size, y - 0.35 * size)], coat, np.multiply(coat, 0.7))  # fmt: skip
    c.ball((x, y - 0.9 * size), (0.085 * size, 0.1 * size), (206, 150, 120))


def lighthouse(c: Canvas, x: float, base: float) -> None:
    for k in range(5):
        y0, y1 = base - 0.16 * (k + 1), base - 0.16 * k
        w0, w1 = 0.11 - 0.011 * (k + 1), 0.11 - 0.011 * k
        colour = (244, 238, 228) if k % 2 else (190, 50, 44)
        c.fill([(x - w0, y0), (x + w0, y0), (x + w1, y1), (x - w1, y1)], colour, grain=4)
        c.fill([(x + w0 * 0.3, y0), (x + w0, y0), (x + w1, y1), (x + w1 * 0.3, y1)], (50, 40, 60), opacity=0.4)
    c.fill(box(x - 0.08, base - 0.84, x + 0.08, base - 0.8), (50, 46, 54))
    c.fill(box(x - 0.05, base - 0.95, x + 0.05, base - 0.84), (255, 236, 160))
    c.fill([(x - 0.07, base - 0.95), (x, base - 1.06), (x + 0.07, base - 0.95)], (150, 40, 40))
    c.fill(box(x + 0.14, base - 0.16, x + 0.4, base + 0.05), (236, 226, 206), (200, 188, 170))
    c.fill([(x + 0.12, base - 0.16), (x + 0.27, base - 0.3), (x + 0.42, base - 0.16)], (160, 70, 56))


def wave(c: Canvas, level: float, height: float, depth: float) -> None:
    """One row of crests; depth 0 is the horizon, 1 the front."""
    x = np.linspace(-0.1, 4.1, 200)
    length = 0.16 + 0.75 * depth
    phase = c.rng.uniform(0, 2 * np.pi, 2)
    swell = np.abs(np.sin(np.pi * x / length + phase[0])) ** 1.4 + 0.35 * np.sin(2.3 * np.pi * x / length + phase[1])
    y = level - height * swell
    front = np.array([112, 152, 160]) * (1 - depth) + np.array([30, 88, 112]) * depth
    c.fill(
        [*zip(x, y, strict=True), (4.1, level + 0.5), (-0.1, level + 0.5)],
        front * 1.18,
        front * 0.55,
        grain=8,
        opacity=0.85,
    )
    crest = swell > 0.75
    for start in np.flatnonzero(crest[:-1] & crest[1:]):
        ends = [(x[start], y[start]), (x[start + 1], y[start + 1])]
        c.line(ends, 0.006 + 0.022 * depth, (236, 240, 236), opacity=0.8)


def sailing_boat(c: Canvas, x: float, y: float) -> None:
    c.fill(
        [(x - 0.55, y - 0.17), (x + 0.62, y - 0.23), (x + 0.4, y + 0.06), (x - 0.42, y + 0.06)],
        (126, 62, 40),
        (62, 32, 30),
        grain=8,
    )
    c.line([(x - 0.55, y - 0.17), (x + 0.62, y - 0.23)], 0.035, (236, 206, 150))
    c.line([(x, y - 0.2), (x + 0.02, y - 1.55)], 0.035, (70, 46, 36))
    curve = np.linspace(0, 1, 14)
    main = [(x + 0.05 + 0.58 * np.sin(np.pi * 0.5 * s) ** 0.9, y - 1.5 + 1.18 * s) for s in curve]
    c.fill([*main, (x + 0.05, y - 0.32)], (252, 240, 212), (226, 190, 148), grain=4)
    jib = [(x - 0.03 - 0.5 * s**0.8, y - 1.38 + 1.08 * s) for s in curve]
    c.fill([*jib, (x - 0.06, y - 0.36)], (214, 84, 58), (160, 48, 46), grain=4)
    for s in (0.35, 0.6, 0.82):
        c.line(
            [(x + 0.05, y - 1.5 + 1.18 * s), (x + 0.05 + 0.56 * np.sin(np.pi * 0.5 * s), y - 1.5 + 1.18 * s)],
            0.01,
            (186, 150, 120),
        )
    c.fill([(x + 0.02, y - 1.58), (x + 0.26, y - 1.53), (x + 0.02, y - 1.48)], (206, 52, 44))
    for dx in (-0.22, 0.1, 0.3):
        c.ball((x + dx, y - 0.3), (0.045, 0.055), (206, 160, 126))
        c.fill(box(x + dx - 0.05, y - 0.26, x + dx + 0.05, y - 0.17), (50, 60, 96))


def face(c: Canvas, x: float, y: float) -> None:
    c.ball((x, y), (0.47, 0.62), (240, 190, 156), grain=3, gloss=0.1, ambient=0.6)
    for side in (-1, 1):
        c.fill(ellipse(x + side * 0.24, y + 0.2, 0.12, 0.09), (214, 112, 96), blur=0.05, opacity=0.5)
        c.fill(ellipse(x + side * 0.19, y - 0.06, 0.13, 0.075), (150, 98, 84), blur=0.025, opacity=0.55)
        c.fill(ellipse(x + side * 0.19, y - 0.05, 0.095, 0.046), (246, 240, 232))
        c.ball((x + side * 0.18, y - 0.05), (0.044, 0.046), (70, 104, 92), gloss=0.9)
        c.fill(ellipse(x + side * 0.18, y - 0.05, 0.02, 0.021), (16, 16, 20))
        lid = [(x + side * (0.19 + 0.1 * np.cos(t)), y - 0.05 - 0.055 * np.sin(t)) for t in np.linspace(0, np.pi, 12)]
        c.line(lid, 0.022, (58, 32, 26))
        brow = [(x + side * (0.08 + 0.24 * s), y - 0.19 - 0.05 * np.sin(np.pi * s)) for s in np.linspace(0, 1, 10)]
        c.line(brow, 0.036, (72, 42, 28))
    c.line([(x + 0.05, y - 0.1), (x + 0.075, y + 0.14), (x + 0.0, y + 0.2)], 0.03, (166, 106, 84), blur=0.01)
    c.fill([(x + 0.03, y - 0.05), (x + 0.1, y + 0.15), (x + 0.02, y + 0.18)], (150, 92, 74), blur=0.03, opacity=0.6)
    c.fill(ellipse(x - 0.03, y + 0.14, 0.035, 0.03), (255, 226, 200), blur=0.015, opacity=0.8)
    upper = [(x - 0.16, y + 0.36), (x - 0.05, y + 0.315), (x, y + 0.33), (x + 0.05, y + 0.315), (x + 0.16, y + 0.36)]
    lower = [(x + 0.09, y + 0.42), (x, y + 0.44), (x - 0.09, y + 0.42)]
    c.fill(upper + lower, (178, 56, 60), (206, 92, 88), blur=0.004)
    c.line([upper[0], (x, y + 0.37), upper[-1]], 0.014, (96, 28, 34))
    c.fill(ellipse(x, y + 0.5, 0.09, 0.025), (160, 100, 82), blur=0.02, opacity=0.6)


def hat(c: Canvas, x: float, y: float) -> None:
    c.fill(ellipse(x, y + 0.16, 0.8, 0.16), (60, 30, 26), blur=0.05, opacity=0.5)
    c.fill(ellipse(x, y + 0.02, 1.02, 0.19), (222, 178, 88), (160, 112, 50), grain=14)
    crown = [(x + 0.54 * np.cos(t), y - 0.02 - 0.6 * np.sin(t) ** 0.7) for t in np.linspace(0, np.pi, 40)]
    c.fill(crown, (242, 206, 122), (190, 140, 66), grain=14)
    c.fill(
        [(x + 0.15, y - 0.55), (x + 0.5, y - 0.3), (x + 0.54, y), (x + 0.2, y)], (110, 70, 34), blur=0.08, opacity=0.5
    )
    band = [
        (x - 0.55, y - 0.17),
        (x, y - 0.09),
        (x + 0.55, y - 0.17),
        (x + 0.54, y + 0.0),
        (x, y + 0.09),
        (x - 0.54, y),
    ]
    c.fill(band, (176, 36, 52), (120, 22, 40))
    for dx, dy, size, colour in (
        (-0.38, -0.08, 0.12, (236, 226, 214)),
        (-0.5, -0.02, 0.09, (240, 150, 160)),
        (-0.27, 0.0, 0.08, (232, 196, 70)),
    ):
        for t in np.linspace(0, 2 * np.pi, 7)[:-1]:
            at = (x + dx + size * 0.6 * np.cos(t), y + dy + size * 0.6 * np.sin(t))
            c.ball(at, (size * 0.45, size * 0.45), colour)
        c.ball((x + dx, y + dy), (size * 0.3, size * 0.3), (120, 60, 30))


def suspension(c: Canvas) -> None:
    red, shade = (196, 66, 44), (132, 40, 36)
    towers = [(0.95, 2.36, 0.46, 0.115), (3.05, 2.12, 0.72, 0.085)]

    def deck(x: float) -> float:
        return 1.86 - 0.03 * x

    cable = [(-0.1, 1.35, 0.95, 0.5), (0.95, 0.5, 3.05, 0.76), (3.05, 0.76, 4.1, 1.5)]
    for x0, y0, x1, y1 in cable:
        s = np.linspace(0, 1, 40)
        sag = 0.95 if (x0, x1) == (0.95, 3.05) else 0.12
        x, y = x0 + (x1 - x0) * s, y0 + (y1 - y0) * s + 4 * sag * s * (1 - s)
        for px, py in zip(x[1:-1], y[1:-1], strict=True):
            c.line([(px, py), (px, deck(px))], 0.009, (168, 70, 56))
        c.line(list(zip(x, y, strict=True)), 0.032, red)
    for middle, base, top, width in towers:
        for side in (-1, 1):
            leg = middle + side * width
            c.fill(box(leg - 0.035, top, leg + 0.035, base), red, shade)
            c.fill(box(leg + 0.01, top, leg + 0.035, base), (90, 26, 30), opacity=0.6)
        for strut in np.linspace(top + 0.06, base - 0.5, 4):
            c.fill(box(middle - width, strut, middle + width, strut + 0.07), red, shade)
        c.fill(
            box(middle - width - 0.09, base - 0.06, middle + width + 0.09, base + 0.08), (176, 164, 150), (110, 100, 96)
        )
    c.fill([(-0.1, 1.86), (4.1, 1.74), (4.1, 1.81), (-0.1, 1.95)], red, shade)
    for post in np.arange(0, 4, 0.1):
        c.line([(post, deck(post) + 0.02), (post + 0.05, deck(post) + 0.08)], 0.01, (90, 28, 30))
