"""Let a roster come from standard input, which is `-` among the files of a command."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from worker.cli import output
from worker.cli.exit_codes import ExitCode
from worker.errors import UsageError
from worker.private_files import create_private_file, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.bootstrap import Services

STANDARD_INPUT = Path("-")
#: The name of such a roster, in messages and reports.
NAME = "stdin"
BLOCK_BYTES = 1024 * 1024


def with_files(
    services: Services,
    files: Sequence[Path],
    options: dict[str, Any],
    body: Callable[[Services, Sequence[Path], dict[str, Any]], int],
) -> int:
    """Call the body of a command with its files, standard input saved as one of them; return its exit code."""
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(readable(files, services.settings.serve.max_upload_mb))
        except UsageError as error:
            return _unopened(error, files, options, ExitCode.NOTHING_SENT)
        except KeyboardInterrupt:
            return _unopened(output.interrupted(Path(NAME)), files, options, ExitCode.INTERRUPTED)
        return body(services, opened, options)


def _unopened(error: UsageError, files: Sequence[Path], options: dict[str, Any], code: ExitCode) -> ExitCode:
    failed = output.Unopened(file=Path(NAME), error=error)
    output.print_results([failed], as_json=options["as_json"], as_list=len(files) > 1)
    return code


@contextmanager
def readable(files: Sequence[Path], max_mb: int) -> Iterator[Sequence[Path]]:
    """Yield the files, with standard input saved as one until the block ends.

    `max_mb` is how large a roster from there may be (MB). Raises UsageError.
    """
    if STANDARD_INPUT not in files:
        yield files
        return
    if files.count(STANDARD_INPUT) > 1:
        raise UsageError("- is standard input, which can be read once")
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "- is standard input, and nothing is sent to it: write `roster run - < roster.csv`, send it the output "
            "of another command (`export-people | roster run -`), or name a file"
        )
    with scratch_folder() as folder:
        with create_private_file(folder / NAME) as file:
            _save(sys.stdin.buffer, file, max_mb)
        yield [folder / NAME if path == STANDARD_INPUT else path for path in files]


def _save(source: BinaryIO, file: BinaryIO, max_mb: int) -> None:
    left = max_mb * 1024 * 1024
    try:
        while block := source.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise UsageError(
                    f"Standard input has more than {max_mb} MB; name a file, split the roster, or raise "
                    "max_upload_mb under [serve] in roster.toml"
                )
            file.write(block)
    except OSError as error:
        raise UsageError(f"Standard input cannot be read or saved: {error.strerror}") from None
