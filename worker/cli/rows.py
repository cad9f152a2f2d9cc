"""The commands about what became of single rows: verify and resolve; each imports what it needs when called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from worker.cli.options import output_options
from worker.cli.services import services_of


@click.command()
@click.argument("job", type=int)
@output_options
@click.pass_context
def verify(context: click.Context, /, job: int, **options: Any) -> None:
    """Read back at the LMS every row of a job that is said to be done; send nothing.

    Example: roster verify 7
    """
    from worker.cli import verify

    context.exit(verify.verify(services_of(context), job, options))


@click.command()
@click.argument("job", type=int)
@click.argument("row", type=int, required=False)
@click.option("--candidate-id", metavar="ID", help="The candidate is at the LMS under this id.")
@click.option("--registration-id", metavar="ID", help="The registration is at the LMS under this id.")
@click.option("--absent", is_flag=True, help="It is not at the LMS; it may be sent again.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the answers for many rows from this file: all of them or none.",
)
@click.option(
    "--export", type=click.Path(path_type=Path), metavar="FILE", help="Write the rows in doubt as a list."
)
@click.option("--encoding", metavar="NAME", help="The encoding of the --from file; without it, found out.")
@click.pass_context
def resolve(context: click.Context, /, job: int, row: int | None, **options: Any) -> None:
    """Say what you found at the LMS for a row in doubt, or for many of them in a file.

    Example: roster resolve 7 42 --absent

    Example: roster resolve 7 --export doubt.csv, fill it in, roster resolve 7 --from doubt.csv
    """
    from worker.cli import resolve
    from worker.jobs.lifecycle import Answer

    answer = Answer(**{name: options[name] for name in ("candidate_id", "registration_id", "absent")})
    answered = answer != Answer()
    ways = [row is not None, options["source"] is not None, options["export"] is not None]
    if sum(ways) != 1 or (answered and row is None):
        raise click.UsageError(
            "Name a ROW with --candidate-id, --registration-id or --absent; or a file with --from or --export."
        )
    services = services_of(context)
    if row is not None:
        context.exit(resolve.resolve(services, job, row, answer))
    if options["export"] is not None:
        context.exit(resolve.export(services, job, options["export"]))
    context.exit(resolve.resolve_from(services, job, options["source"], options["encoding"]))
