"""docs/grafana.json shows what the product really exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text("utf-8"))


def texts_in(value: Any) -> list[str]:
    """Return every text of a JSON value."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_in(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


def queries() -> list[str]:
    """Return what the dashboard asks Prometheus: queries, and the variables that ask for labels."""
    return [text for text in texts_in(DASHBOARD) if re.search(r"\broster_\w+", text)]


def test_every_metric_of_the_dashboard_is_exported_and_every_one_exported_is_shown(
    exported: dict[str, set[str]],
) -> None:
    shown = {name for query in queries() for name in re.findall(r"\broster_\w+", query)}

    assert shown == set(exported)


def test_every_label_of_a_query_is_one_of_its_metrics(exported: dict[str, set[str]]) -> None:
    strange = {}
    for query in queries():
        known = set.union(*(exported[name] for name in re.findall(r"\broster_\w+", query)))
        named = set(re.findall(r'(\w+)=~?"', query)) | set(re.findall(r", (\w+)\)$", query))
        named |= {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        if named - known:
            strange[query] = named - known

    assert strange == {}


def test_every_panel_says_what_it_shows_and_they_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
