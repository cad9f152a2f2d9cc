"""docs/alerts.yml and the scrape configuration: valid by their form, and about what is exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.model import JobState, RowStatus

DOCS = Path(__file__).parents[2] / "docs"
GROUPS = yaml.safe_load((DOCS / "alerts.yml").read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
#: What `promtool check rules` accepts in an alerting rule, and as a duration.
FIELDS = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
FUNCTIONS = {"absent", "increase", "sum", "time"}
WORDS = {"by", "and", "on"}


def test_the_file_has_the_form_of_a_rules_file() -> None:
    assert all(group.keys() <= {"name", "interval", "limit", "rules"} and group["name"] for group in GROUPS)
    for rule in RULES:
        assert {"alert", "expr"} <= rule.keys() <= FIELDS
        assert re.fullmatch(r"Roster[A-Za-z]+", rule["alert"])
        assert DURATION.fullmatch(rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_labels_and_values_that_are_exported(
    rule: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    bare = re.sub(r'"[^"]*"', '""', rule["expr"])
    assert bare.count("(") == bare.count(")")
    names = set(re.findall(r"\broster_\w+", bare))
    assert names
    assert names <= exported.keys()
    labels = set.union(*(exported[name] for name in names))
    used = set(re.findall(r"(\w+)=", re.sub(r"==", "", bare)))
    used |= {each.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", bare) for each in group.split(",")}
    assert used <= labels
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= labels
    assert set(re.findall(r"\b[a-z]+\b(?= ?\()", bare)) <= FUNCTIONS | WORDS
    for label, values in re.findall(r'(state|status)=~?"([^"]*)"', rule["expr"]):
        assert set(values.split("|")) <= set(JobState if label == "state" else RowStatus)


def test_the_scrape_configuration_sends_a_token() -> None:
    (text,) = re.findall(
        r"```yaml\n(# prometheus\.yml\n.*?)```", (DOCS / "operations.md").read_text("utf-8"), re.DOTALL
    )
    configuration = yaml.safe_load(text)
    assert configuration["rule_files"] == ["alerts.yml"]
    (scrape,) = configuration["scrape_configs"]
    assert scrape["authorization"].keys() == {"type", "credentials_file"}
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["static_configs"][0]["targets"]
