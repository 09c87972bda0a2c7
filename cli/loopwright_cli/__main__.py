"""The `loopwright` command: autonomous loops that end verified, or say why not."""

from __future__ import annotations

import typer

from loopwright.plugins import load_own_tools
from loopwright_cli.commands import (
    amend,
    backups,
    breakers,
    control,
    credentials,
    estimates,
    goals,
    history,
    letters,
    local,
    loops,
    memory,
    result,
    tenants,
)

app = typer.Typer(
    name="loopwright",
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (goals, estimates, loops, result, history, control, amend, local, backups):
    app.registered_commands += commands.app.registered_commands
app.add_typer(letters.app, name="dead-letters")
app.add_typer(credentials.app, name="credentials")
app.add_typer(breakers.app, name="breakers")
app.add_typer(memory.app, name="memory")
app.add_typer(tenants.app, name="tenants")


def main() -> None:
    """Run one command."""
    load_own_tools()
    app()


if __name__ == "__main__":
    main()
