"""A group of commands: short help that is never cut, and --config before or after any command."""

from __future__ import annotations

from pathlib import Path

import click


class CommandGroup(click.Group):
    """A group whose help shows the first sentence of each command in full, in as many lines as it takes."""

    group_class = type

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their short help."""
        commands = [(name, self.get_command(context, name)) for name in self.list_commands(context)]
        rows = [
            (name, command.get_short_help_str(len(command.help or "")))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _use_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Let a command, and those below it, use this configuration; the one given last counts."""
    if path is not None:
        context.obj = path


def add_config_option(command: click.Command) -> None:
    """Let a command, and all below it, take --config."""
    command.params.append(
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Default: $ROSTER_CONFIG, ./roster.toml.",
            expose_value=False,
            callback=_use_config,
        )
    )
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        add_config_option(below)
