"""The sections below the figure: verdicts, curves, numbers, how it was made, and every cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from neural_style_mmd.progress import duration
from neural_style_mmd.scoring import SCORED_METHODS

from .curves import chart
from .results import Results, Tile
from .verdicts import FAILS, HOLDS, NOT_ONCE, ONCE, Verdict


def all_sections(results: Results) -> Iterator[str]:
    """Each section that has something to say, in order."""
    sections = (
        ("Do the paper's claims hold?", verdicts),
        ("Curves", curves),
        ("Numbers", numbers),
        ("Failed cells", failures),
        ("Balance of the gradients", calibrations),
        ("How it was made", origins),
        ("Every cell", cells),
    )
    for title, write in sections:
        body = write(results)
        if body:
            yield f"<section><h2>{escape(title)}</h2>\n{body}</section>"


def verdicts(results: Results) -> str:
    """A table of the claims, each with the comparisons behind it."""
    if not results.verdicts:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.text)}<br><span class='note'>{escape(each.where)}</span>{_comparisons(each)}</td>"
        f"<td class='verdict {_mood(each)}'>{escape(each.verdict)}</td>"
        f"<td>{each.agreeing} of {each.comparisons}</td></tr>"
        for each in results.verdicts
    )
    replicates = results.plan["replicates"]
    how = (
        "With one replicate a claim is observed once or not; --replicates 3 tells effects from noise."
        if replicates == 1
        else f"Over {replicates} replicates, each comparison by a one-sided t test at 95 %: a claim holds where every "
        "comparison does, and does not hold where one is significantly the other way round."
    )
    return (
        f"<p class='note'>Computed from the cells of the {escape(results.setting(results.judged_stage))}. {how}</p>"
        "<div class='table-box'><table><tr><th>Claim</th><th>Verdict</th><th>Comparisons that agree</th></tr>"
        f"{rows}</table></div>"
    )


def _mood(verdict: Verdict) -> str:
    if verdict.verdict.endswith((FAILS, NOT_ONCE)):
        return "bad"
    return "good" if verdict.verdict.endswith((HOLDS, ONCE)) else "unsure"


def _comparisons(verdict: Verdict) -> str:
    if not verdict.details:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.label)}</td><td class='number'>{each.mean:+.4g}</td><td>{escape(each.verdict)}</td></tr>"
        for each in verdict.details
    )
    return f"<details><summary>Comparisons</summary><table>{rows}</table></details>"


def curves(results: Results) -> str:
    """What runs along the figure's columns: the trade-off for gamma, grain for layers, interpolation for weights."""
    done = [tile for tile in results.tiles if tile.state == "done" and tile.stage == results.shown_stage]
    makers = {"gamma": _trade_off, "layers": _grain, "weights": _interpolation}
    charts = [makers[axis](results, done) for axis in results.grid["columns"] if axis in makers]
    return "".join(f"<div class='charts'>{each}</div>" for each in charts if each)


def _trade_off(results: Results, tiles: Sequence[Tile]) -> str:
    series: dict[str, list] = {}
    marks: dict[str, list] = {}
    for tile in tiles:
        own = tile.score.style.get(tile.at["method"]) if tile.score else None
        if tile.score and own is not None and tile.score.content is not None:
            series.setdefault(_row(results, tile), []).append((tile.score.content, own))
            marks.setdefault(_row(results, tile), []).append(f"{tile.at['gamma']:g}")
    return chart(
        series, title="Trade-off between content and style along gamma", marks=marks,
        x_label="content loss (0 content, 1 as far as the style picture)",
        y_label="own style discrepancy (1 unstyled)",
    )  # fmt: skip


def _grain(results: Results, tiles: Sequence[Tile]) -> str:
    series: dict[str, list] = {}
    for tile in tiles:
        if tile.score and tile.score.granularity is not None:
            series.setdefault(_row(results, tile), []).append((tile.column + 1, tile.score.granularity))
    return chart(
        series, title="Granularity by layer set", marks={name: [""] * len(points) for name, points in series.items()},
        x_label="layer set", y_label="granularity (pixels)",
    )  # fmt: skip


def _interpolation(results: Results, tiles: Sequence[Tile]) -> str:
    series: dict[str, list] = {}
    marks: dict[str, list] = {}
    for tile in tiles:
        first, _, second = tile.at["method"].partition("+")
        if tile.score and second in tile.score.style and tile.score.style[first] is not None:
            label = _row(results, tile)
            series.setdefault(label, []).append((tile.score.style[first], tile.score.style[second]))
            marks.setdefault(label, []).append(f"{tile.at['weights'][0]:g}")
    return chart(
        series, title="Interpolation between two methods", marks=marks,
        x_label="discrepancy of the first method", y_label="of the second",
    )  # fmt: skip


def _row(results: Results, tile: Tile) -> str:
    return results.plan["rows"][tile.row]


def numbers(results: Results) -> str:
    """Every shown cell: content, the four discrepancies, colour, granularity, how it ended."""
    done = [tile for tile in results.tiles if tile.score]
    if not done:
        return ""
    heads = ["cell", "content", *SCORED_METHODS, "colour", "granularity", "outcome", "iterations", "time"]
    rows = "".join(_number_row(tile) for tile in done)
    head = "".join(f"<th{' class=number' if 0 < k < 8 or k > 8 else ''}>{h}</th>" for k, h in enumerate(heads))
    return (
        "<p class='note'>Style discrepancies are divided by those between the content and the style picture: 1 is "
        "unstyled, 0 is matched; the method's own is bold. Content is 0 for the content picture, 1 for one as far from "
        "it as the style picture. Colour compares mean and standard deviation of R, G and B. Granularity is 1 over the "
        "centroid of the radial power spectrum, in pixels. <a href='metrics.csv'>metrics.csv</a> has every layer.</p>"
        f"<div class='table-box'><table><tr>{head}</tr>{rows}</table></div>"
    )


def _number_row(tile: Tile) -> str:
    assert tile.score is not None and tile.record is not None
    score, own = tile.score, tile.at["method"].split("+")
    styles = "".join(
        f"<td class='number{' own' if name in own else ''}'>{_shown(score.style[name])}</td>" for name in SCORED_METHODS
    )
    stage = " (preview)" if tile.stage == "preview" else ""
    return (
        f"<tr><td>{escape(tile.label)}{stage}</td><td class='number'>{_shown(score.content)}</td>{styles}"
        f"<td class='number'>{_shown(score.colour)}</td><td class='number'>{_shown(score.granularity)}</td>"
        f"<td>{escape(tile.record['outcome'])}</td><td class='number'>{tile.record['iterations']}</td>"
        f"<td class='number'>{duration(tile.record['seconds'])}</td></tr>"
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def failures(results: Results) -> str:
    """What failed, with the end of its log."""
    return "".join(
        f"<details><summary>{escape(each['label'])}: {escape(each['reason'])} (on {escape(each['host'])})</summary>"
        f"<pre>{escape(chr(10).join(each['log']))}</pre></details>"
        for each in results.failures
    )


def calibrations(results: Results) -> str:
    """beta' of each method and the gradient norms that it comes from."""
    if not results.calibrations:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each['method'])}</td><td>{escape(each['stage'])}</td>"
        f"<td class='number'>{each['beta_prime']:.5g}</td>"
        f"<td>{escape(' × '.join(pair['files']))}</td><td class='number'>{pair['content_norm']:.4g}</td>"
        f"<td class='number'>{pair['style_norms'][each['method']]['total']:.4g}</td>"
        f"<td class='number'>{pair['beta_prime'][each['method']]:.4g}</td></tr>"
        for each in results.calibrations
        for pair in each["pairs"]
    )
    return (
        "<p class='note'>beta' makes the norms of the gradients of style and content loss on the picture equal; "
        f"the geometric mean over the pairs is used ({escape(results.plan['calibration'])} calibration).</p>"
        "<div class='table-box'><table><tr><th>method</th><th>setting</th><th class=number>beta'</th><th>pair</th>"
        "<th class=number>content gradient</th><th class=number>style gradient</th><th class=number>beta' of the pair"
        f"</th></tr>{rows}</table></div>"
    )


def origins(results: Results) -> str:
    """Command, network, pictures, versions, and the source of each of the grid's numbers."""
    network = results.inputs["network"]
    done = [tile.record for tile in results.tiles if tile.record]
    facts = [("command", f"<code>{escape(results.plan['command'])}</code>")]
    facts.append(("network", f"{escape(network['kind'])} {escape(network['name'])} {escape(network['recipe'])}<br>"
                             f"<code>sha256 {escape(network['sha256'])}</code>"))  # fmt: skip
    for picture in results.inputs["pictures"].values():
        facts.append((picture["name"], f"{picture['origin']}, <code>sha256 {escape(picture['sha256'])}</code>"))
    if done:
        facts.append(("versions", escape("; ".join(sorted({_versions(record) for record in done})))))
        facts.append(("processors", escape("; ".join(sorted({str(record["cpu"]) for record in done})))))
        facts.append(("threads", escape(", ".join(sorted({str(record["threads"]) for record in done})))))
        facts.append(("computing time", duration(sum(record["seconds"] for record in done))))
        notes = sorted({note for record in done for note in (*record["notes"], *record["weights"]["notes"])})
        facts += [("note", escape(note)) for note in notes]
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{value}</dd>" for key, value in facts)
    sources = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in results.grid["sources"].items()
    )
    heading = "<h3>Where each number of the grid comes from</h3>" if sources else ""
    return f"<dl class='facts'>{listed}</dl>{heading}<dl class='facts'>{sources}</dl>"


def _versions(record: Mapping[str, Any]) -> str:
    numbers = record["versions"] | {"numerics": record["numerics_version"]}
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def cells(results: Results) -> str:
    """Every shown cell's curve and facts; the viewer shows the same."""
    done = [tile for tile in results.tiles if tile.record]
    return "<div class='cells'>" + "".join(_cell(tile) for tile in done) + "</div>" if done else ""


def _cell(tile: Tile) -> str:
    assert tile.record is not None and tile.score is not None
    record = tile.record
    balance = record["balance"]
    facts = [
        ("outcome", f"{record['outcome']} after {record['iterations']} iterations, {duration(record['seconds'])}"),
        ("beta'", ", ".join(f"{name} {value:.5g}" for name, value in balance["beta_prime"].items())),
        ("gradient norms", _norms(balance)),
        ("style left", ", ".join(f"{name} {_shown(value)}" for name, value in tile.score.style.items())),
        ("content", _shown(tile.score.content)),
        ("colour", _shown(tile.score.colour)),
        ("granularity", _shown(tile.score.granularity) + " px"),
        ("seed", str(record["seed"])),
        ("machine", f"{record['cpu']}, {record['threads']} threads"),
        ("cell", tile.cell_id),
    ]
    facts += [("note", note) for note in record["notes"]]
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts)
    config = escape(json.dumps(record["overrides"], ensure_ascii=False))
    return (
        f"<details id='cell-{tile.cell_id[:12]}'><summary>{escape(tile.label)}</summary><div class='body'>"
        f"{_loss_curve(record)}<dl class='facts'>{listed}</dl>"
        f"<details><summary>Differences from the preset {escape(record['preset'])}</summary><pre>{config}</pre>"
        "</details></div></details>"
    )


def _norms(balance: dict[str, Any]) -> str:
    parts = [] if balance["content_norm"] is None else [f"content {balance['content_norm']:.4g}"]
    parts += [f"{name} {norms['total']:.4g}" for name, norms in balance["style_norms"].items()]
    return ", ".join(parts)


def _loss_curve(record: Mapping[str, Any]) -> str:
    """The weighted objective and its parts, by iteration."""
    weights = record["balance"]["term_weights"]
    series: dict[str, list] = {"total": []}
    for entry in record["trace"]:
        parts: dict[str, float] = {}
        for name, value in entry["terms"].items():
            part = name.split(".")[1] if name.startswith("style.") else name
            parts[part] = parts.get(part, 0.0) + weights[name] * value
        series["total"].append((entry["iteration"], entry["total"]))
        for part, value in parts.items():
            series.setdefault(part, []).append((entry["iteration"], value))
    if len(series) == 2:
        del series["total"]  # it is the only part
    return chart(series, title="Loss by iteration", x_label="iteration", y_label="weighted loss", log_y=True)
