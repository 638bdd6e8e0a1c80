"""Procedural content pictures: scenes with objects, edges and depth. Each fills a Canvas of 4 x 3 units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas, box, ellipse
from .scenery import (
    bottle,
    bowl_of_fruit,
    car,
    church,
    clouds,
    face,
    hat,
    house,
    jug,
    lighthouse,
    reflect,
    ridge,
    row_of_buildings,
    rowing_boat,
    sailing_boat,
    street_lamp,
    suspension,
    tree,
    walker,
    wave,
)


def river_town(c: Canvas) -> None:
    """Gabled houses and a church along a river, with their reflection; hills and clouds behind, a tree before."""
    c.wash([(52, 104, 178), (126, 172, 216), (246, 222, 186)], [0, 1.0, 1.7])
    clouds(c, (250, 240, 228), low=1.5, amount=0.4)
    ridge(c, 1.42, 0.16, (112, 138, 168), (150, 168, 186))
    ridge(c, 1.6, 0.12, (72, 108, 92), (96, 128, 84))
    church(c, 2.28, 1.94)
    walls = [(238, 214, 160), (204, 110, 84), (240, 236, 222), (226, 168, 76), (150, 176, 178), (226, 150, 146)]
    x, k = 0.62, int(c.rng.integers(6))
    while x < 4:
        width = c.rng.uniform(0.3, 0.44)
        house(c, x, width, 1.98, c.rng.uniform(0.42, 0.74) + 0.1 * x / 4, walls[k % len(walls)])
        x, k = x + width, k + 1
    c.fill(box(0, 1.96, 4, 2.12), (142, 128, 110), (86, 78, 72), grain=16)
    for x in np.arange(0.05, 4, 0.16):
        c.line([(x, 1.97), (x + 0.03, 2.12)], 0.01, (74, 66, 62))
    reflect(c, 2.12, (58, 92, 104))
    rowing_boat(c, 2.75, 2.55)
    c.fill([(0, 2.62), (0.5, 2.66), (1.15, 2.86), (1.5, 3), (0, 3)], (74, 100, 44), (38, 58, 30), grain=22)
    tree(c, (0.42, 2.8), 1.0)


def still_life(c: Canvas) -> None:
    """A bowl of fruit, a bottle and a jug on a table, with light from the upper left."""
    c.wash([(74, 88, 92), (120, 122, 108), (88, 80, 70)], [0, 1.2, 2.0])
    c.rgb += 7 * c.cloud[..., None]
    glow = np.exp(-((c.x - 0.9) ** 2 + (c.y - 0.7) ** 2) / 0.9)
    c.blend(0.55 * glow, (236, 222, 178))
    c.fill([(2.75, 0), (4, 0), (4, 1.9), (3.05, 1.9), (2.9, 1.0)], (104, 40, 42), (60, 24, 32), grain=9)
    for x in (2.98, 3.22, 3.44, 3.7, 3.9):
        c.fill([(x, 0), (x + 0.09, 0), (x + 0.17, 1.9), (x + 0.05, 1.9)], (150, 64, 56), (84, 32, 38), blur=0.03)
    c.fill(box(0, 1.86, 4, 3), (168, 116, 66), (96, 58, 34), grain=10)
    for y, strength in ((2.02, 0.35), (2.3, 0.4), (2.66, 0.45)):
        c.line([(0, y), (4, y + 0.03)], 0.018, (70, 40, 24), opacity=strength)
    c.fill([(0.3, 2.5), (2.2, 2.3), (3.5, 2.62), (2.7, 3), (0.6, 3)], (240, 236, 224), (196, 194, 196), grain=7)
    for x0, y0, x1, y1 in ((0.9, 2.46, 1.3, 3), (1.9, 2.35, 2.0, 3), (2.6, 2.4, 2.4, 3), (3.1, 2.52, 2.6, 2.98)):
        c.line([(x0, y0), (x1, y1)], 0.035, (150, 152, 166), blur=0.02, opacity=0.7)
    bottle(c, 0.86, 2.3)
    jug(c, 3.12, 2.3)
    bowl_of_fruit(c, 2.0, 2.22)
    for x, y, size, colour in ((1.02, 2.66, 0.2, (226, 134, 34)), (2.92, 2.7, 0.19, (178, 36, 34))):
        c.fill(ellipse(x + 0.1, y + 0.15, 0.28, 0.07), (70, 50, 50), blur=0.04, opacity=0.6)
        c.ball((x, y), (size, size * 0.95), colour, grain=5)
    c.ball((1.42, 2.72), (0.15, 0.13), (206, 200, 62), grain=5)


def city_street(c: Canvas) -> None:
    """A street between tall buildings in one-point perspective, towards a low sun."""
    c.wash([(68, 84, 140), (214, 142, 120), (252, 214, 140)], [0, 1.0, 1.75])
    clouds(c, (255, 206, 168), low=1.3, amount=0.35)
    vanishing = np.array([2.1, 1.8])
    glow = np.exp(-((c.x - vanishing[0]) ** 2 + (c.y - 1.62) ** 2) / 0.12)
    c.blend(0.9 * glow, (255, 246, 210))
    for x, width, top in ((1.62, 0.16, 1.02), (1.8, 0.12, 1.3), (2.3, 0.13, 1.16), (2.46, 0.16, 0.84)):
        c.fill(box(x, top, x + width, 1.84), (130, 112, 132), (186, 140, 128))
        c.fill([(x, top), (x + width / 2, top - 0.14), (x + width, top)], (112, 96, 122))
    c.fill([(0, 3), (4, 3), (2.3, 1.8), (1.9, 1.8)], (72, 68, 80), (112, 98, 98), grain=8)
    c.fill([(0, 3), (0, 2.55), (1.9, 1.8), (1.93, 1.8), (0.7, 3)], (146, 130, 124), (120, 110, 110), grain=8)
    c.fill([(4, 3), (4, 2.6), (2.3, 1.8), (2.27, 1.8), (3.4, 3)], (120, 104, 108), (98, 90, 98), grain=8)
    for near, far in ((0.02, 0.12), (0.2, 0.34), (0.46, 0.58), (0.68, 0.76), (0.83, 0.88)):
        points = [vanishing + (1 - s) * np.array([dx, 1.2]) for s, dx in ((near, -0.03), (far, -0.03), (far, 0.03))]
        c.fill([*points, vanishing + (1 - near) * np.array([0.03, 1.2])], (240, 226, 190))
    left = [(214, 168, 120), (172, 92, 74), (226, 200, 160), (140, 128, 140), (196, 130, 96)]
    right = [(92, 82, 110), (124, 78, 82), (84, 92, 116), (132, 100, 92), (96, 84, 104)]
    row_of_buildings(c, vanishing, -2.35, left)
    row_of_buildings(c, vanishing, 2.2, right)
    for share in (0.62, 0.4, 0.1):
        street_lamp(c, vanishing, share)
    car(c, 1.52, 2.46, 0.36, (176, 34, 36))
    car(c, 2.62, 2.2, 0.2, (52, 92, 136))
    for x, y, size in ((0.75, 2.72, 0.42), (0.95, 2.7, 0.39), (3.3, 2.5, 0.3), (3.02, 2.3, 0.2)):
        walker(c, x, y, size)


def boat_at_sea(c: Canvas) -> None:
    """A sailing boat on rolling waves before a low sun, with a lighthouse on a cliff."""
    c.wash([(58, 92, 150), (180, 160, 170), (250, 196, 130), (252, 226, 170)], [0, 0.8, 1.35, 1.65])
    clouds(c, (244, 214, 200), low=1.3, amount=0.45)
    c.blend(np.exp(-((c.x - 1.0) ** 2 + (c.y - 1.32) ** 2) / 0.2), (255, 226, 150))
    c.fill(ellipse(1.0, 1.32, 0.17, 0.17), (255, 246, 214), blur=0.01)
    c.fill(box(0, 1.66, 4, 3), (96, 134, 150), (20, 58, 84))
    path = np.exp(-(((c.x - 1.0) / (0.12 + 0.35 * np.clip(c.y - 1.6, 0, 2))) ** 2)) * (c.y > 1.66)
    c.blend(0.7 * path, (252, 214, 150))
    c.fill([(2.95, 1.7), (3.02, 1.42), (3.2, 1.2), (3.5, 1.14), (4, 0.98), (4, 1.95), (3.3, 1.86)],
           (110, 116, 78), (66, 56, 54), grain=24)  # fmt: skip
    lighthouse(c, 3.52, 1.15)
    for depth in np.linspace(0, 1, 13) ** 1.5:
        if 0.4 < depth < 0.5:
            sailing_boat(c, 1.98, 2.14)
        wave(c, 1.72 + 1.3 * depth, 0.015 + 0.1 * depth, depth)
    for x, y, size in ((1.55, 0.62, 0.1), (1.85, 0.5, 0.07), (2.9, 0.55, 0.09), (2.7, 0.8, 0.06), (0.5, 0.7, 0.08)):
        wing = np.array([(-1, 0.0), (-0.5, -0.5), (0, 0), (0.5, -0.5), (1, 0)]) * size + (x, y)
        c.line(wing, 0.022, (44, 44, 56))


def portrait(c: Canvas) -> None:
    """A woman with a hat, half length, before a landscape in shade."""
    c.wash([(96, 120, 110), (134, 140, 104), (70, 76, 62)], [0, 1.5, 3])
    c.rgb += 14 * c.cloud[..., None]
    ridge(c, 1.3, 0.2, (86, 108, 118), (96, 112, 92))
    ridge(c, 1.75, 0.16, (64, 84, 62), (44, 56, 42), depth=1.4)
    c.fill([(0.55, 3), (0.75, 2.55), (1.4, 2.3), (2.6, 2.3), (3.25, 2.55), (3.45, 3)], (44, 66, 112), (26, 40, 76),
           grain=8, blur=0.01)  # fmt: skip
    c.fill(
        [(1.4, 2.32), (2.0, 2.86), (2.6, 2.32), (2.35, 2.2), (1.65, 2.2)], (236, 226, 206), (190, 184, 176), blur=0.01
    )
    c.fill(ellipse(2.0, 1.45, 0.66, 0.9), (66, 38, 26), (40, 22, 18), grain=14, blur=0.02)
    c.fill(
        [(1.78, 1.9), (2.26, 1.9), (2.34, 2.38), (2.0, 2.62), (1.68, 2.38)], (206, 150, 116), (222, 172, 138), blur=0.02
    )
    c.fill([(1.8, 2.0), (2.24, 2.0), (2.22, 2.24), (2.05, 2.3)], (150, 96, 76), blur=0.05, opacity=0.6)
    face(c, 2.0, 1.42)
    hat(c, 2.0, 0.86)
    for side in (-1, 1):
        lock = [
            (2 + side * 0.5, 1.1),
            (2 + side * 0.64, 1.6),
            (2 + side * 0.56, 2.1),
            (2 + side * 0.42, 1.9),
            (2 + side * 0.44, 1.3),
        ]
        c.fill(lock, (84, 48, 30), (46, 26, 20), grain=18, blur=0.015)
    for k, x in enumerate(np.linspace(1.62, 2.38, 12)):
        c.ball((x, 2.42 + 0.17 * np.sin(np.pi * k / 11)), (0.042, 0.042), (236, 220, 190))


def bridge(c: Canvas) -> None:
    """A suspension bridge over a strait, mist and hills behind it, rocks before it."""
    c.wash([(92, 146, 200), (188, 208, 218), (236, 220, 196)], [0, 1.1, 1.75])
    clouds(c, (252, 248, 242), low=1.55, amount=0.45)
    ridge(c, 1.5, 0.3, (128, 148, 170), (166, 180, 186))
    ridge(c, 1.68, 0.14, (106, 124, 104), (140, 148, 120))
    c.blend(0.75 * np.exp(-(((c.y - 1.72) / 0.13) ** 2)) * (0.7 + 0.3 * c.cloud.clip(-1, 1)), (240, 234, 224))
    c.fill(box(0, 1.8, 4, 3), (116, 158, 172), (30, 76, 98))
    for depth in np.linspace(0.02, 1, 11) ** 1.6:
        wave(c, 1.82 + 1.2 * depth, 0.006 + 0.04 * depth, depth)
    c.fill([(2.9, 3), (3.0, 2.5), (3.3, 2.1), (3.6, 1.75), (4, 1.55), (4, 3)], (146, 122, 82), (62, 54, 44), grain=30)
    c.fill([(3.2, 3), (3.4, 2.6), (3.7, 2.2), (4, 2.0), (4, 3)], (92, 96, 50), (44, 50, 32), grain=30)
    suspension(c)
    c.fill(
        [(0, 3), (0, 2.5), (0.25, 2.44), (0.5, 2.62), (0.9, 2.72), (1.15, 2.9), (1.2, 3)],
        (112, 96, 78),
        (52, 46, 44),
        grain=30,
    )
    c.fill([(1.75, 2.5), (2.25, 2.5), (2.18, 2.6), (1.83, 2.6)], (70, 40, 36), (44, 26, 26))
    c.fill([(2.0, 2.48), (2.0, 2.0), (2.28, 2.44)], (250, 244, 228), (220, 210, 196))
    c.fill([(1.97, 2.48), (1.97, 2.1), (1.78, 2.44)], (226, 214, 200), (190, 180, 172))


SCENES: tuple[Callable[[Canvas], None], ...] = (river_town, still_life, city_street, boat_at_sea, portrait, bridge)
