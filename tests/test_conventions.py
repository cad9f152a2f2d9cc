"""The rules of the house, kept by machines: layers, lint, types, sizes, words in the documentation, codes, pins."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest

from tests.parsing import parse
from worker import lms
from worker.cli.main import roster
from worker.intake.problems import ProblemCode
from worker.ledger.database import HEAD
from worker.reports.codes import CODES
from worker.settings import Connection, Email, Folder, Mail, Receiver, Serve, Settings, Webhook

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path for folder in ("worker", "tasks") for path in (ROOT / folder).rglob("*.py"))
LONGEST_MODULE = 500
#: What `--help` has no use for; each costs a person a noticeable part of a second.
HEAVY = ("sqlalchemy", "httpx", "aiohttp", "openpyxl", "celery", "starlette", "pydantic", "alembic", "rich")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def committed_files() -> list[Path]:
    """Return the files that git knows or would take; none where this is no checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# The four tools


def test_make_check_runs_the_linter_the_formatter_the_layers_and_the_types() -> None:
    tools = ("ruff check .", "ruff format --check .", "lint-imports", "mypy")
    assert recipe("check") == " && ".join(f"$(BIN)/{tool}" for tool in tools)


def test_make_test_runs_the_checks_too() -> None:
    assert "$(MAKE) --silent check" in recipe("test")


def recipe(target: str) -> str:
    """Return the commands of a target of the Makefile."""
    lines = (ROOT / "Makefile").read_text("utf-8").split(f"\n{target}: ", 1)[1].split("\n\n", 1)[0].splitlines()
    return "\n".join(line.removeprefix("\t") for line in lines[1:])


# Modules


def test_every_module_says_what_it_holds() -> None:
    silent = [
        name_of(path)
        for path in MODULES
        if "migrations" not in path.parts and not ast.get_docstring(parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_no_module_is_too_long_to_be_read_at_one_sitting() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_module_is_named_utils_or_the_like() -> None:
    drawers = {"helper", "helpers", "utils", "util", "common", "misc", "manager"}
    assert [name_of(path) for path in MODULES if path.stem in drawers] == []


# The command line


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def collect(group: click.Group, prefix: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                collect(command, f"{prefix}{name} ")
            else:
                found[f"{prefix}{name}"] = command

    collect(roster, "")
    return found


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["sandbox", "--help"]])
def test_help_loads_nothing_that_it_has_no_use_for(arguments: list[str]) -> None:
    code = (
        "import contextlib, io, json, sys\n"
        "from worker.cli.main import roster\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    roster.main({arguments!r})\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    result = run("-c", code)

    assert result.returncode == 0, result.stderr
    assert sorted(set(HEAVY) & set(json.loads(result.stdout))) == []


def test_every_command_explains_itself_with_an_example() -> None:
    silent = [
        name
        for name, command in commands().items()
        if not re.search(rf"Example:\s+roster {re.escape(name)}", command.help or "")
    ]
    assert silent == []


def test_every_option_explains_itself() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in commands().items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not (parameter.help or parameter.show_default)
    ]
    assert silent == []


#: Commands of the contract that are not built yet; each leaves this list with the commit that builds it.
TO_COME: set[str] = set()


def test_every_command_of_the_contract_is_there() -> None:
    wanted = {"run", "check", "submit", "serve", "jobs", "status", "report", "pause", "resume", "cancel", "retry"}
    wanted |= {"undo", "resolve", "schedule add", "schedule list", "schedule remove", "schedule preview"}
    wanted |= {"sandbox", "demo", "doctor", "purge"}

    assert wanted - set(commands()) == TO_COME


# The documentation


@pytest.fixture(scope="module")
def documentation() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def words_in(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_-]*", text))


def test_every_command_is_documented(documentation: str) -> None:
    missing = [name for name in commands() if not re.search(rf"roster {re.escape(name)}\b", documentation)]
    assert missing == [], f"README.md and docs/ never say: {', '.join(f'roster {name}' for name in missing)}"


def test_every_setting_is_documented(documentation: str) -> None:
    known = words_in(documentation)
    models = {
        "": Settings,
        "serve: ": Serve,
        "mail: ": Mail,
        "email: ": Email,
        "webhook: ": Webhook,
        "folders: ": Folder,
        **{f"{system}: ": lms.load_connector(system).Settings for system in lms.systems()},
    }
    missing = {
        f"{where}{field.alias or key}"
        for where, model in models.items()
        for key, field in model.model_fields.items()
        if (field.alias or key) not in known and key != "name"
    }
    assert sorted(missing) == []


def test_every_system_is_documented(documentation: str) -> None:
    assert [system for system in lms.systems() if not re.search(rf'system = "{system}"', documentation)] == []


def test_every_setting_is_explained_where_it_is_defined() -> None:
    """A `#:` sentence above each field."""
    silent = []
    for model in {
        Settings,
        Connection,
        Serve,
        Receiver,
        Email,
        Webhook,
        Mail,
        Folder,
        *(lms.load_connector(system).Settings for system in lms.systems()),
    }:
        path = Path(sys.modules[model.__module__].__file__ or "")
        lines = path.read_text("utf-8").splitlines()
        tree = parse("\n".join(lines))
        (node,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == model.__name__]
        silent += [
            f"{model.__name__}.{field.target.id}"
            for field in node.body
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.target.id not in {"system", "base_url", "api_key", "api_secret"}
            and not lines[field.lineno - 2].lstrip().startswith("#:")
        ]
    assert silent == []


def test_every_file_that_the_pages_about_the_code_name_exists() -> None:
    """Those pages name modules from worker/ on."""
    pages = [ROOT / "docs" / name for name in ("architecture.md", "glossary.md")]
    named = {
        path
        for page in pages
        for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.[a-z]+|(?:[a-z_]+/)+)`", page.read_text("utf-8"))
    } - {"done/", "failed/", "processing/"}
    assert (
        sorted(path for path in named if not any((base / path).exists() for base in (ROOT / "worker", ROOT))) == []
    )


def test_every_link_to_a_file_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "samples" / "README.md"]
    broken = [
        f"{name_of(page)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = Counter(path.name.split("-")[0] for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert {number: count for number, count in numbers.items() if count > 1} == {}


def test_a_decision_is_headed_by_its_number() -> None:
    odd = [
        path.name
        for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")
        if not path.read_text("utf-8").startswith(f"# {int(path.name[:4])}. ")
    ]
    assert odd == []


# The ledger


def test_the_migrations_are_one_chain_of_consecutive_numbers() -> None:
    versions = sorted((ROOT / "worker" / "ledger" / "migrations" / "versions").glob("[0-9]*.py"))
    numbers = [f"{number:04}" for number in range(1, len(versions) + 1)]
    chain = [
        tuple(re.findall(r'^(?:down_)?revision = "?(\w+)"?$', path.read_text("utf-8"), re.MULTILINE))
        for path in versions
    ]

    assert [path.name[:4] for path in versions] == numbers
    assert chain == list(zip(numbers, ["None", *numbers], strict=False))
    assert numbers[-1] == HEAD


# What goes into the repository


def test_no_committed_file_names_a_package_registry_or_a_path_of_this_machine() -> None:
    names = r"/simple\b|index-url|pypi\.[a-z]+|artifactory|nexus|devpi"
    registry = re.compile(rf"https?://[^\s\"'<>]*(?:{names})|(?:^|\s)--(?:extra-)?index-url", re.IGNORECASE)
    home = str(Path.home())
    machine = [f"{folder}/" for folder in (str(ROOT), home) if folder != "/"]
    found = []
    for path in committed_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        found += [
            f"{name_of(path)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, start=1)
            if registry.search(line) or any(each in line for each in machine)
        ]
    assert found == []


def test_every_sample_has_its_expected_report() -> None:
    samples = ROOT / "samples"
    told = (samples / "README.md").read_text("utf-8").splitlines()
    unsent = {line.split("`")[1] for line in told if line.startswith("| `") and "nothing is sent" in line}
    rosters = {
        path.stem for path in samples.iterdir() if path.suffix in {".csv", ".xlsx"} and path.name not in unsent
    }
    expected = {path.name.removesuffix(".results.csv") for path in (samples / "expected").glob("*.results.csv")}

    assert rosters
    assert rosters == expected


def test_every_sample_is_explained() -> None:
    explained = (ROOT / "samples" / "README.md").read_text("utf-8")

    rosters = [path.name for path in (ROOT / "samples").iterdir() if path.suffix in {".csv", ".xlsx"}]
    assert [name for name in rosters if name not in explained] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()


def pinned(file: str) -> dict[str, str]:
    text = (ROOT / file).read_text("utf-8")
    return {normal(name): version for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)}


def wanted_by_the_project() -> tuple[set[str], set[str], set[str]]:
    """Return the names that the project needs, those that building it needs, and those that its tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]

    def names(requirements: list[object]) -> set[str]:
        found: set[str] = set()
        for each in requirements:
            if isinstance(each, dict):
                found |= names(groups[each["include-group"]])
            else:
                found.add(normal(re.split(r"[\s\[<>=!~;]", str(each))[0]))
        return found

    return names(project["project"]["dependencies"]), names(groups["build"]), names(groups["dev"])


def test_everything_that_is_wanted_is_pinned() -> None:
    runtime, build, development = wanted_by_the_project()

    assert sorted(runtime - set(pinned("requirements.txt"))) == []
    assert sorted(build - set(pinned("requirements-build.txt"))) == []
    assert sorted((runtime | development) - set(pinned("requirements-dev.txt"))) == []


def test_what_builds_the_product_is_not_installed_with_it() -> None:
    assert sorted(wanted_by_the_project()[1] & set(pinned("requirements.txt"))) == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-build.txt"])
def test_the_pins_of_development_are_those_of_the_product_and_more(file: str) -> None:
    product, development = pinned(file), pinned("requirements-dev.txt")

    assert {name: version for name, version in product.items() if development.get(name) != version} == {}


def test_every_pin_has_its_hashes() -> None:
    for file in ("requirements.txt", "requirements-build.txt", "requirements-dev.txt"):
        blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
        assert [block.split("==")[0] for block in blocks if "==" in block and "--hash=sha256:" not in block] == []


def test_every_third_party_module_that_is_imported_is_wanted_by_name() -> None:
    """What comes along with something else today may be gone tomorrow."""
    wanted = wanted_by_the_project()[0] | {"pydantic-core", "markupsafe"}  # parts of pydantic and of jinja2
    distributions = packages_distributions()
    missing = {}
    for path in MODULES:
        for node in ast.walk(parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for module in modules:
                top = module.split(".")[0]
                offered = {normal(name) for name in distributions.get(top, [])}
                if top not in sys.stdlib_module_names and top not in {"worker", "tasks"} and not offered & wanted:
                    missing[top] = name_of(path)
    assert missing == {}


# Codes


def codes_in(path: Path) -> set[str]:
    """Return the codes that a module writes: `code=`, `error_code`, and the first argument of our errors."""
    found: set[str] = set()
    for node in ast.walk(parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            by_name = {"code", "error_code", "already", "otherwise"}
            found |= {each for key in node.keywords if key.arg in by_name for each in texts_of(key.value)}
            if name in {"Refused", "StopJob"} and node.args:
                found |= texts_of(node.args[0])
            if name == "_rejected" and len(node.args) > 1:
                found |= texts_of(node.args[1])
        if isinstance(node, ast.Dict):
            found |= {
                each
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "error_code"
                for each in texts_of(value)
            }
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "code":
            found |= texts_of(node.value) if node.value else set()
    return found - {""}


def texts_of(node: ast.expr) -> set[str]:
    """Return the texts that an expression may come to."""
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) | texts_of(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def report_codes() -> dict[str, str]:
    """Return each code that is written anywhere, with the first module that does; the sandbox has its own."""
    found: dict[str, str] = {}
    for path in MODULES:
        if "sandbox" not in path.parts and path.name != "codes.py":
            for code in codes_in(path):
                found.setdefault(code, name_of(path))
    return found


#: What stops a job, or becomes another code or a status on the way: no row ever has these.
NEVER_ON_A_ROW = {"refused", "redirected", "credentials_refused", "certificate_refused", "breaker_open"}
NEVER_ON_A_ROW |= {"list_empty", "password_refused", "unknown_custom_field"}
NEVER_ON_A_ROW |= {"already_so", "path_missing", "unreachable", "refused_for_long", "already_registered"}


def test_every_code_that_a_row_can_have_is_explained() -> None:
    found = report_codes()

    assert len(found) > 10, "the search for codes finds hardly any; fix the search"
    assert {code: where for code, where in found.items() if code not in {*CODES, *NEVER_ON_A_ROW}} == {}


def test_every_code_of_a_cell_is_explained() -> None:
    assert [code.value for code in ProblemCode if code.value not in CODES] == []


def test_every_code_says_what_it_means_and_what_to_do_in_whole_sentences() -> None:
    odd = [
        code.code
        for code in CODES.values()
        if not (code.meaning.endswith(".") and code.remedy.endswith(".")) or not re.fullmatch(r"[a-z_]+", code.code)
    ]
    assert odd == []
