"""Roster as `pip install` gives it: the built wheel and what requirements.txt pins, in a venv of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()


def pinned_here(file: str = "requirements.txt") -> list[str]:
    """Return the distributions that a file of requirements pins for this Python and this machine."""
    lines = re.findall(r"^[A-Za-z0-9][^\\\n]*", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return [each.name for each in requirements if each.marker is None or each.marker.evaluate()]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Installed:
    """A virtual environment outside the checkout, with the wheel in it."""

    folder: Path

    def command(self, *words: str | Path) -> list[str]:
        """Return a command of this environment, as subprocess takes it."""
        return [str(self.bin / words[0]), *map(str, words[1:])]

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder)}))


def install(wheel: Path, folder: Path) -> Installed:
    """Install a wheel into a new virtual environment that holds the pinned distributions and nothing else.

    These are copied from the environment of the tests, whose versions are the same, so no registry is asked; pip
    then installs the wheel and refuses when anything that the wheel asks for is missing.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    installed = Installed(folder)
    for name in pinned_here():
        _copy(distribution(name), installed)
    command = [sys.executable, "-m", "pip", "--python", str(installed.bin / "python"), "install", "--no-index"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, env=environment)
    return installed


def _copy(found: Distribution, installed: Installed) -> None:
    """Copy the files of a distribution; its commands get the Python of the new environment."""
    for file in found.files or []:
        source = Path(str(found.locate_file(file)))
        if file.suffix == ".pyc":
            continue
        if ".." not in file.parts:
            target = installed.packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
            _link_bytecode(source, target)
        elif source.parent.name == "bin":
            first, _, rest = source.read_text("utf-8").partition("\n")
            assert first.startswith("#!"), source
            target = installed.bin / source.name
            target.write_text(f"#!{installed.bin / 'python'}\n{rest}", "utf-8")
            target.chmod(0o755)


def _link_bytecode(source: Path, target: Path) -> None:
    """Link the bytecode of a module too, if there is some: to compile all that Celery imports takes ten seconds."""
    compiled = Path(cache_from_source(str(source))) if source.suffix == ".py" else None
    if compiled and compiled.exists():
        cached = Path(cache_from_source(str(target)))
        cached.parent.mkdir(exist_ok=True)
        _link(compiled, cached)


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)
