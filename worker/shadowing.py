"""Files of the current folder that Celery imports in place of Roster's packages `worker` and `tasks`.

`celery -A worker` puts the current folder first on the import path (celery/utils/imports.py, `cwd_in_path`).
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("worker", "tasks")
_INSTALLED = Path(__file__).resolve().parent.parent


def shadowing_warning(folder: Path) -> str | None:
    """Return a sentence about what hides Roster's packages from a Celery started in a folder; None without any."""
    found = [name for package in PACKAGES if (name := _shadowing(folder, package))]
    if not found:
        return None
    return (
        f"{folder} has {' and '.join(found)}, which `celery -A worker` imports in place of Roster's own package; "
        "rename it, or start Celery in another folder"
    )


def _shadowing(folder: Path, package: str) -> str | None:
    """Return the name of the file or folder that is imported as a package from here; None when it is Roster's."""
    spec = PathFinder.find_spec(package, [str(folder)])
    if spec is None or spec.origin is None or Path(spec.origin).resolve().parent == _INSTALLED / package:
        return None
    return f"{package}/" if spec.submodule_search_locations else Path(spec.origin).name
