"""How a roster is to be read and sent, made of what a person typed or a form sent (contract §2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker.cli.options import pairs
from worker.errors import UsageError
from worker.intake.accept import Options
from worker.ledger import key_value

if TYPE_CHECKING:
    from worker.bootstrap import Services


def roster_options(services: Services, options: Mapping[str, Any]) -> Options:
    """Return the options of a roster from what was typed, the kept --map among them."""
    mapping = pairs(options["mapping"], "--map")
    with services.ledger.write() as tx:
        if name := options["use_map"]:
            kept = key_value.recall(tx, f"map:{name}")
            if kept is None:
                raise UsageError(f"No map is kept under the name {name!r}; keep one with --save-map {name}")
            mapping = {**kept, **mapping}
        if name := options["save_map"]:
            key_value.remember(tx, f"map:{name}", mapping)
    return Options(
        course=options["course"],
        set_values=pairs(options["set_values"], "--set"),
        sheet=options["sheet"],
        mapping=mapping,
        encoding=options["encoding"],
        strict=options["strict"],
        again=options["again"],
        update_existing=options["update_existing"],
        start_row=options["start_row"],
        max_rows=options["max_rows"],
    )
