"""Drop folders of a test office, and a `roster serve` that watches them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Office, Running


def add_drop_folder(office: Office, name: str = "inbox", **options: Any) -> Path:
    """Configure a drop folder and return its path."""
    path = office.folder / name
    path.mkdir()
    values = {"path": name, "settle_seconds": 1, **options}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    with (office.folder / "roster.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", f"[folders.{name}]", *lines, ""]))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def copy_into(roster: Path, folder: Path, name: str | None = None) -> None:
    """Copy a file into a drop folder as people do: written under its name."""
    shutil.copyfile(roster, folder / (name or roster.name))


def serve(office: Office) -> Running:
    """Start `roster serve` without a broker."""
    office.environment["ROSTER_SWEEP_SECONDS"] = "0.5"
    return office.start("serve", "--port", 0)


def files_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def summary_in(folder: Path, stem: str) -> dict[str, Any]:
    return json.loads((folder / f"{stem}.summary.json").read_text("utf-8"))


def message_in(folder: Path, stem: str) -> str:
    """Return the message next to a file in `failed/`, empty while it is not written."""
    path = folder / f"{stem}.message.txt"
    return path.read_text("utf-8-sig") if path.exists() else ""
