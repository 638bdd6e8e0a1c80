"""Curves as SVG in a page: no script, colours (classes s0, s1, ...) and dashes (d1, d2) from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
COLOURS, DASHES = 5, 3  # of the style sheet: so many series times so many can be told apart
MAX_POINTS = 160  # of a curve; more would only make the page larger


def chart(
    series: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool = False,
    marks: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Lines through points, each series with its name in a legend.

    marks: words at the points of a series; such series get dots. Points that are not finite, or not above 0 on a
    logarithmic axis, are left out. Returns "" where nothing is left.
    """
    kept = {name: _thinned(_finite(points, log_y)) for name, points in series.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    x_axis, y_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), _Axis(
        min(ys), max(ys), HEIGHT - BOTTOM, TOP, logarithmic=log_y
    )  # fmt: skip
    body = [_x_ticks(x_axis), _y_ticks(y_axis)]
    for number, (name, points) in enumerate(kept.items()):
        body.append(_line(points, x_axis, y_axis, number, marks[name] if marks and name in marks else None))
    body.append(f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{escape(x_label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    body.append(
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)" x="0" y="0">{escape(y_label)}</text>'
    )
    legend = "".join(f'<li class="{_look(number)}">{escape(name)}</li>' for number, name in enumerate(kept))
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<title>{escape(title)}</title>{"".join(body)}</svg><ul class="legend">{legend}</ul></figure>'
    )


class _Axis:
    """Numbers low..high to pixels start..end."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> None:
        self.logarithmic = logarithmic
        self._start, self._end = start, end
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        pad = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - pad, high + pad

    def place(self, value: float) -> float:
        """The pixel of a number."""
        position = math.log10(value) if self.logarithmic else value
        return self._start + (position - self.low) / (self.high - self.low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Round numbers on the axis: about five, or the powers of ten (with 2 and 5 where there are few)."""
        if self.logarithmic:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            factors = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
            values = [factor * 10.0**decade for decade in decades for factor in factors]
            kept = [value for value in values if self.low <= math.log10(value) <= self.high]
            return kept[:: max(1, len(kept) // 6)]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step) + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _x_ticks(axis: _Axis) -> str:
    bottom = HEIGHT - BOTTOM
    return "".join(
        f'<path class="rule" d="M{axis.place(value):.1f} {TOP}V{bottom}"/>'
        f'<text class="tick" x="{axis.place(value):.1f}" y="{bottom + 16}">{value:g}</text>'
        for value in axis.ticks()
    )


def _y_ticks(axis: _Axis) -> str:
    return "".join(
        f'<path class="rule" d="M{LEFT} {axis.place(value):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick left" x="{LEFT - 8}" y="{axis.place(value) + 4:.1f}">{value:.4g}</text>'
        for value in axis.ticks()
    )


def _line(points: Sequence[Point], x: _Axis, y: _Axis, number: int, words: Sequence[str] | None) -> str:
    placed = [(x.place(a), y.place(b)) for a, b in points]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in placed)
    parts = [f'<path class="line {_look(number)}" d="{path}"/>']
    if words is not None:
        for (a, b), word in zip(placed, words, strict=False):
            parts.append(f'<circle class="dot {_look(number)}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>')
            parts.append(f'<text class="mark" x="{a + 6:.1f}" y="{b - 5:.1f}">{escape(word)}</text>')
    return "".join(parts)


def _look(number: int) -> str:
    """The classes of a series: another colour each, then the colours once more with dashes."""
    dash = number // COLOURS % DASHES
    return f"s{number % COLOURS}" + (f" d{dash}" if dash else "")


def _finite(points: Sequence[Point], log_y: bool) -> list[Point]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y)]


def _thinned(points: list[Point]) -> list[Point]:
    """At most MAX_POINTS, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return points
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(k * step)] for k in range(MAX_POINTS)]
