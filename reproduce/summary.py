"""How far a figure is, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .store import STATES, Store


def summarise(store: Store) -> Iterator[str]:
    """One line for the figure, one for each stage, one for each failure."""
    plan = store.read_plan()
    network = plan["inputs"]["network"]
    yield f"{store.folder}: {plan['grid']['title']} [{network['kind']}]"
    states = {cell_id: store.state(cell_id) for cell_id in plan["cells"]}
    for stage in plan["stages"]:
        wanted: set[str] = set()
        for place in plan["places"]:
            cell_id = place["cells"].get(stage)
            if cell_id:
                wanted |= {cell_id, *plan["cells"][cell_id]["needs"].values()}
        counts = Counter(states[cell_id] for cell_id in wanted)
        shown = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        yield f"  {stage}: {len(wanted)} cells, {shown}"
    for cell_id, state in states.items():
        failure = store.read_failure(cell_id) if state == "failed" else None
        if failure:
            yield f"  failed: {failure['label']}: {failure['reason']}"
