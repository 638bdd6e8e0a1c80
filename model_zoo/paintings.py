"""Procedural style pictures: paintings in directed strokes with a palette. Each takes a Canvas of 4 x 3 units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage, spatial

from .canvas import Canvas, smooth_noise

Palette = Sequence[tuple[int, int, int]]


def swirls(c: Canvas) -> None:
    """A night sky of whirling strokes in blue and yellow over dark hills."""
    night = [(16, 24, 66), (26, 52, 120), (44, 92, 168), (92, 146, 190), (170, 200, 196), (236, 214, 110)]
    stars = [
        (0.55, 0.55, 0.26),
        (1.35, 0.35, 0.2),
        (3.4, 0.55, 0.4),
        (2.65, 0.3, 0.17),
        (2.9, 1.35, 0.18),
        (0.35, 1.35, 0.17),
    ]
    whirls = [(1.75, 1.12, 0.75, 1.0), (2.55, 1.2, 0.5, -1.0), (0.9, 1.6, 0.45, -0.8)]
    shade = 0.36 + 0.13 * c.cloud + 0.0 * c.x
    angle_x, angle_y = np.ones_like(shade), 0.25 * np.sin(2.2 * c.x) + 0 * c.y
    for x, y, radius, spin in whirls + [(x, y, 1.3 * r, 1.0) for x, y, r in stars]:
        dx, dy = c.x - x, c.y - y
        distance = np.hypot(dx, dy) + 1e-6
        pull = 4 * np.exp(-((distance / radius) ** 2))
        angle_x = angle_x - spin * pull * dy / distance
        angle_y = angle_y + spin * pull * dx / distance
        shade = shade + 0.16 * np.exp(-((distance / radius) ** 2)) * np.sin(14 * distance / radius)
    for x, y, radius in stars:
        distance = np.hypot(c.x - x, c.y - y)
        shade = np.maximum(shade, 1.15 - 0.75 * distance / radius + 0.06 * np.sin(60 * distance))
    hill = 2.25 + 0.22 * np.sin(1.7 * c.x + 0.4) + 0.1 * np.sin(4.1 * c.x)
    below = c.y > hill
    angle_y = np.where(below, 0.5 * np.cos(1.7 * c.x + 0.4) + 0.15 * c.grain, angle_y)
    angle_x = np.where(below, 1.0, angle_x)
    target = _palette(night, shade)
    ground = [(10, 20, 40), (18, 46, 60), (36, 84, 78), (84, 124, 84), (150, 160, 96)]
    target = np.where(
        below[..., None], _palette(ground, 0.35 + 0.2 * c.cloud + 0.25 * np.sin(22 * (c.y - hill))), target
    )
    angle = np.arctan2(angle_y, angle_x)
    c.wash([night[1], night[0]], [0, 3])
    for count, length, width in ((2600, 0.34, 0.055), (5200, 0.24, 0.03), (2600, 0.13, 0.018)):
        _strokes(c, target, angle, count, length, width, jitter=20)
    s = np.linspace(0, 1, 60)
    for k in range(26):
        lean = (k / 25 - 0.5) * 0.36
        track = np.stack(
            [0.42 + lean * np.sin(np.pi * s**0.8) * (1 + 0.3 * np.sin(9 * s + k)), 3.05 - 2.55 * s], axis=1
        )
        _bristled(c, [track], [(22 + 2 * (k % 7), 38 + 3 * (k % 9), 34)], 0.045, jitter=16)


def dabs(c: Canvas) -> None:
    """A sunny shore in dots of pure colour: each place mixes its own hue with the complementary one."""
    c.wash([(238, 228, 204), (240, 230, 206)], [0, 3])
    sky = _palette([(250, 214, 150), (246, 196, 176), (160, 186, 220), (86, 134, 204)], 1 - c.y / 1.5 + 0.1 * c.cloud)
    sea = _palette(
        [(46, 96, 150), (74, 150, 176), (150, 200, 190), (248, 226, 160)],
        0.45 + 0.25 * np.sin(26 * c.y + 2 * c.cloud) + 0.0 * c.x,
    )
    field = _palette([(70, 116, 60), (146, 170, 62), (226, 196, 70), (236, 140, 70)], 0.45 + 0.25 * c.cloud)
    shore = 1.95 + 0.2 * np.sin(1.1 * c.x + 2.4) + 0.06 * np.sin(4 * c.x)
    target = np.where((c.y < 1.3)[..., None], sky, sea)
    target = np.where((c.y > shore)[..., None], field, target)
    for x, y, rx, ry in ((0.75, 1.15, 0.75, 0.62), (0.2, 0.8, 0.6, 0.5), (3.75, 1.4, 0.5, 0.45)):
        leaf = ((c.x - x) / rx) ** 2 + ((c.y - y) / ry) ** 2 + 0.25 * c.cloud < 1
        tree = _palette(
            [(30, 70, 84), (52, 112, 70), (130, 168, 60), (236, 206, 84)],
            0.55 - 0.35 * (c.x - x) / rx * -1 - 0.3 * (c.y - y) / ry,
        )
        target = np.where(leaf[..., None], tree, target)
    trunk = (abs(c.x - 0.72 - 0.05 * np.sin(4 * c.y)) < 0.06) & (c.y > 1.5) & (c.y < 2.5)
    target = np.where(trunk[..., None], (90, 56, 84), target)
    sun = np.exp(-((c.x - 2.6) ** 2 + (c.y - 0.75) ** 2) / 0.09)
    target += sun[..., None] * (np.array([255, 236, 150]) - target)
    for count, size in ((7000, 0.034), (16000, 0.024), (14000, 0.017)):
        _dots(c, target, count, size)


def facets(c: Canvas) -> None:
    """Overlapping planes with hard edges, each shaded from one side: ochre, earth, slate and cream."""
    palette = [
        (46, 42, 44),
        (98, 72, 52),
        (168, 120, 66),
        (214, 176, 112),
        (236, 220, 182),
        (110, 128, 124),
        (58, 86, 96),
        (178, 82, 52),
    ]
    sites = c.rng.uniform((-0.3, -0.3), (4.3, 3.3), (130, 2))
    cells = spatial.cKDTree(sites * (1, 0.75))
    grid = np.stack(np.broadcast_arrays(c.x, c.y * 0.75), axis=-1)
    distance, nearest = cells.query(grid, k=2)
    place = nearest[..., 0]
    hue = c.rng.integers(0, len(palette), len(sites))
    light = c.rng.uniform(0, 2 * np.pi, len(sites))
    offset = np.stack([c.x - sites[place, 0], c.y - sites[place, 1]], axis=-1)
    slope = offset[..., 0] * np.cos(light[place]) + offset[..., 1] * np.sin(light[place])
    c.rgb[:] = np.asarray(palette, dtype=float)[hue[place]] * (1 + 1.5 * slope)[..., None]
    for _ in range(22):
        x, y, turn = *c.rng.uniform((0, 0), (4, 3)), c.rng.uniform(0, 2 * np.pi)
        corners = np.array([(-0.9, -0.2), (0.8, -0.45), (0.6, 0.4), (-0.5, 0.5)]) * c.rng.uniform(0.35, 0.8, (4, 2))
        plane = corners @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]) + (x, y)
        first, second = c.rng.integers(0, len(palette), 2)
        c.fill(plane, palette[first], palette[second], opacity=0.75)
        c.line([*plane, plane[0]], 0.022, (34, 30, 34))
    angle = light[place] + np.pi / 2
    _strokes(c, np.clip(c.rgb, 0, 255), angle, 7000, 0.16, 0.035, jitter=22)
    edge = np.clip(1.3 - (distance[..., 1] - distance[..., 0]) / 0.012, 0, 1)
    c.blend(0.85 * ndimage.gaussian_filter(edge, 0.8), (34, 28, 32))
    c.rgb += 9 * c.grain[..., None]


def wave_print(c: Canvas) -> None:
    """A woodblock print: rows of curling waves in indigo and cream with printed outlines, under a graded sky."""
    c.wash([(196, 178, 150), (238, 224, 190), (240, 214, 170)], [0, 0.7, 1.4])
    c.fill([(2.1, 1.35), (2.75, 0.62), (2.9, 0.6), (3.6, 1.35)], (66, 92, 128), (150, 170, 180))
    c.fill(
        [(2.6, 0.79), (2.75, 0.62), (2.9, 0.6), (3.03, 0.76), (2.92, 0.74), (2.85, 0.86), (2.76, 0.75), (2.7, 0.83)],
        (248, 242, 226),
    )
    blues = [(150, 184, 190), (98, 144, 170), (58, 104, 146), (34, 72, 122), (22, 46, 92), (16, 32, 70)]
    for row, base in enumerate(np.linspace(1.5, 3.3, 10)):
        size = 0.22 + 0.05 * row
        for x in np.arange(-0.5 + (row % 2) * size, 4.5, 2 * size) + c.rng.uniform(-0.05, 0.05):
            _curl(c, x, base + c.rng.uniform(-0.06, 0.06), size * c.rng.uniform(0.9, 1.25), blues[row % len(blues)])
    fibre = ndimage.gaussian_filter(c.noise.standard_normal(c.rgb.shape[:2]), (0.8, 9))
    c.rgb += 7 * (fibre / fibre.std())[..., None]
    c.blend(np.full(c.rgb.shape[:2], 0.06), (236, 214, 168))


def dry_brush(c: Canvas) -> None:
    """Broad dry strokes in loud colours that cross each other, with the ground showing between the bristles."""
    palette = [
        (214, 38, 62),
        (240, 128, 40),
        (250, 202, 70),
        (30, 138, 110),
        (22, 84, 150),
        (112, 54, 140),
        (240, 150, 170),
        (244, 236, 214),
        (34, 32, 52),
    ]
    c.wash([(226, 206, 170), (216, 190, 150)], [0, 3])
    patches = spatial.cKDTree(c.rng.uniform((0, 0), (4, 3), (46, 2)))
    warp = np.stack([c.x + 0.1 * c.cloud, c.y - 0.1 * c.cloud], axis=-1)
    region = patches.query(warp)[1]
    hue = c.rng.permutation(np.arange(46) % len(palette))
    target = np.asarray(palette, dtype=float)[hue[region]]
    direction = c.rng.choice([0.2, 0.9, 1.9, 2.6], 46)[region] + 0.12 * c.cloud
    for count, length, width in ((500, 0.6, 0.2), (900, 0.42, 0.12), (900, 0.3, 0.06)):
        _strokes(c, target, direction, count, length, width, jitter=34, dryness=0.3)
    outline = ndimage.gaussian_filter(np.hypot(ndimage.sobel(region, 0), ndimage.sobel(region, 1)).clip(0, 1), 3)
    c.blend(np.clip(1.1 * outline - 0.25, 0, 0.85), (30, 26, 44))


def ribbons(c: Canvas) -> None:
    """A burning sky and a dark fjord in long wavering bands, each band several parallel strokes."""
    sky = [(118, 34, 32), (206, 62, 32), (240, 124, 40), (250, 190, 84), (226, 96, 44), (160, 44, 48), (246, 206, 130)]
    water = [(20, 36, 66), (38, 70, 104), (74, 112, 120), (24, 54, 70), (128, 140, 110), (30, 44, 84)]
    land = [(48, 40, 36), (104, 66, 40), (62, 76, 58), (150, 96, 54), (36, 46, 56)]
    bend = smooth_noise(c.noise, c.cloud.shape, 2.6)
    level = c.y + 0.13 * bend + 0.12 * np.sin(1.6 * c.x + 0.5)
    lower = c.y + 0.25 * np.sin(1.3 * c.x + 2.2) * np.clip(c.y - 1, 0, 1) + 0.16 * bend
    shore = 1.42 + 0.06 * np.sin(2 * c.x)
    front = 3.4 - 0.42 * c.x + 0.1 * bend
    target = _bands(sky, level * 7.5)
    target = np.where((c.y > shore)[..., None], _bands(water, lower * 8.5 + 0.8 * c.x), target)
    target = np.where((c.y > front)[..., None], _bands(land, 9 * (c.y - front) + 0.3 * bend), target)
    height = np.where(c.y > front, c.y - front, np.where(c.y > shore, lower + 0.1 * c.x, level))
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(height, 4))
    angle = np.arctan2(slope_x, -slope_y)
    c.wash([sky[1], water[0]], [1.2, 1.6])
    for count, length, width in ((1700, 0.5, 0.07), (4200, 0.42, 0.036), (3400, 0.3, 0.02)):
        _strokes(c, target, angle, count, length, width, jitter=22)


# Brushes


def _palette(colours: Palette, share: np.ndarray) -> np.ndarray:
    """The colour at `share` (H, W) of the way, 0 to 1, through `colours`: (H, W, 3)."""
    knots = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(share, knots, [colour[k] for colour in colours]) for k in range(3)], axis=-1)


def _bands(colours: Palette, phase: np.ndarray) -> np.ndarray:
    """Colours in cyclic order with soft borders; one band per unit of `phase`."""
    whole = np.floor(phase)
    part = np.clip((phase - whole - 0.8) / 0.2, 0, 1)[..., None]
    table = np.asarray(colours, dtype=float)
    index = whole.astype(int) % len(table)
    return table[index] * (1 - part) + table[(index + 1) % len(table)] * part


def _strokes(
    c: Canvas,
    target: np.ndarray,
    angle: np.ndarray,
    count: int,
    length: float,
    width: float,
    *,
    jitter: float,
    dryness: float = 0.0,
) -> None:
    """`count` strokes that follow the directions `angle` (H, W) with the colours of `target` at their middles."""
    rows, columns = angle.shape
    steps = 9
    start = c.rng.uniform((0, 0), (columns, rows), (count, 2))
    halves = []
    for sign in (-1, 1):
        place, track = start.copy(), []
        for _ in range(steps // 2):
            x, y = np.clip(place.astype(int), 0, (columns - 1, rows - 1)).T
            place = place + sign * length * c.unit / (steps - 1) * np.stack(
                [np.cos(angle[y, x]), np.sin(angle[y, x])], axis=1
            )
            track.append(place)
        halves.append(track)
    tracks = np.stack([*halves[0][::-1], start, *halves[1]], axis=1) / c.unit
    x, y = np.clip(start.astype(int), 0, (columns - 1, rows - 1)).T
    _bristled(c, tracks, target[y, x], width, jitter=jitter, dryness=dryness)


def _bristled(
    c: Canvas,
    tracks: Sequence[np.ndarray] | np.ndarray,
    colours: np.ndarray | Palette,
    width: float,
    *,
    jitter: float,
    dryness: float = 0.0,
) -> None:
    """Draw each of `tracks` (count, n, 2) as parallel bristles of slightly different colour, lighter on one side as oil
    paint is.

    dryness: share of the bristles that carry no paint.
    """
    sheet = Image.fromarray(np.clip(c.rgb, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(sheet)
    bristles = int(np.clip(width * c.unit / 3, 3, 16))
    offsets = np.linspace(-0.5, 0.5, bristles)
    thickness = max(1, round(1.25 * width * c.unit / bristles))
    tracks = np.asarray(tracks) * c.unit
    x, y = np.moveaxis(np.gradient(tracks, axis=1), -1, 0)
    normals = np.stack([-y, x], axis=-1) / (np.hypot(x, y)[..., None] + 1e-9) * width * c.unit
    for points, across, colour in zip(tracks, normals, colours, strict=True):
        tone = np.asarray(colour) + c.rng.normal(0, jitter, 3) * 0.6
        light = c.rng.normal(0, jitter, bristles) - 0.9 * jitter * offsets * 2
        wet = c.rng.random(bristles) >= dryness
        ends = c.rng.integers(0, 2, (bristles, 2))
        for k in np.flatnonzero(wet):
            hair = (points + offsets[k] * across)[ends[k, 0] : len(points) - ends[k, 1]]
            paint = np.clip(tone + light[k], 0, 255).astype(int)
            pen.line(hair.ravel().tolist(), fill=tuple(paint.tolist()), width=thickness)
    c.rgb[:] = np.asarray(sheet, dtype=float)


def _dots(c: Canvas, target: np.ndarray, count: int, size: float) -> None:
    """`count` oval dots; one in six takes the complementary hue of its place, the others stray around it."""
    rows, columns = target.shape[:2]
    sheet = Image.fromarray(np.clip(c.rgb, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(sheet)
    x, y = c.rng.uniform(0, (columns, rows), (count, 2)).T
    local = target[y.astype(int), x.astype(int)]
    grey = local.mean(axis=1, keepdims=True)
    vivid = grey + 1.45 * (local - grey) + c.rng.normal(0, 20, (count, 3))
    complement = grey - 1.2 * (local - grey) + 30
    paint = np.where(c.rng.random((count, 1)) < 1 / 6, complement, vivid).clip(0, 255).astype(int)
    radii = size * c.unit * c.rng.uniform(0.7, 1.2, (count, 2))
    for px, py, (rx, ry), colour in zip(x, y, radii, paint, strict=True):
        pen.ellipse((px - rx, py - ry, px + rx, py + ry), fill=tuple(colour.tolist()))
    c.rgb[:] = np.asarray(sheet, dtype=float)


def _curl(c: Canvas, x: float, y: float, size: float, blue: tuple[int, int, int]) -> None:
    """One wave: an arched body, concentric printed lines, a foaming crest with claws on the left."""
    ink, cream = (18, 30, 62), (246, 238, 216)
    angle = np.linspace(np.pi, 2 * np.pi, 30)

    def arch(radius: float) -> np.ndarray:
        return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle) * 1.1], axis=1)

    body = [*arch(size), (x + size, y + 1.2 * size), (x - size, y + 1.2 * size)]
    c.fill(body, blue, np.multiply(blue, 0.8))
    c.line(arch(size), 0.024, ink)
    for radius, colour, width in (
        (0.86, cream, 0.05),
        (0.7, ink, 0.016),
        (0.56, cream, 0.028),
        (0.42, ink, 0.014),
        (0.28, cream, 0.03),
    ):
        c.line(arch(radius * size), width * (0.5 + size), colour)
    for turn in np.linspace(np.pi * 1.05, np.pi * 1.5, 7):
        px, py = x + size * np.cos(turn), y + 1.1 * size * np.sin(turn)
        foam = 0.11 * size * c.rng.uniform(0.8, 1.4)
        for dx, dy in ((0, 0), (-0.8, 0.5), (-0.5, -0.7)):
            t = np.linspace(0, 2 * np.pi, 14)
            ring = np.stack([px + foam * (dx + np.cos(t)), py + foam * (dy + np.sin(t))], axis=1)
            c.fill(ring, cream)
            c.line([*ring, ring[0]], 0.011, ink)


PAINTINGS: tuple[Callable[[Canvas], None], ...] = (swirls, dabs, facets, wave_print, dry_brush, ribbons)
