"""The command line, ``shopsim``: what each command is called and takes. What it does is imported when it is used.

Exit codes: 0 done; 1 a check or guardrail failed; 2 bad input, one message on stderr; 130 interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from experiments import verify_command
from sim.scenario.errors import ScenarioError
from sim.scenario.starter import Starter

BAD_INPUT = 2


class _Commands(TyperGroup):
    """All commands: bad input ends any of them with a message and not with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ScenarioError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(BAD_INPUT) from None


app = typer.Typer(
    cls=_Commands,
    help="Rehearse social-commerce incentives: growth, retention and fraud risk before rollout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(verify_command.app, name="verify")

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value, by dotted path; YAML. May be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="First seed; replicates count on from it.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes; default: one for each core.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to write; default: a folder in results/runs.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress and no remarks on stderr.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Run again what was run before.")]


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file.")],
    seed: SeedOption = 1,
    replicates: Annotated[int, typer.Option(min=1, max=10_000, help="Runs, each with a seed of its own.")] = 1,
    workers: WorkersOption = None,
    changes: SetOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    fresh: FreshOption = False,
) -> None:
    """Run a scenario and say what came of it."""
    from experiments import commands

    options = commands.Options(seed, replicates, workers, changes or [], out, as_json, quiet, fresh)
    raise typer.Exit(commands.run(scenario, options))


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Scenario file to compare with.")],
    arms: Annotated[list[Path], typer.Argument(metavar="ARM...", help="Scenario files to compare.")],
    seed: SeedOption = 1,
    replicates: Annotated[int, typer.Option(min=1, max=10_000, help="Runs of each; pairs share a seed.")] = 20,
    workers: WorkersOption = None,
    changes: SetOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    fresh: FreshOption = False,
) -> None:
    """Compare scenarios with a base: what each changes, how sure that is, and a verdict."""
    from experiments import commands

    options = commands.Options(seed, replicates, workers, changes or [], out, as_json, quiet, fresh)
    raise typer.Exit(commands.compare([base, *arms], options))


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that run or compare wrote.")]) -> None:
    """Write report.html of a finished folder anew."""
    from experiments import commands

    raise typer.Exit(commands.report(folder))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="SCENARIO...", help="Scenario files.")],
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check scenario files without running them."""
    from experiments.scenario_commands import check, facts, summary

    checks = {str(file): check(file, changes or []) for file in files}
    errors = {file: error for file, error in checks.items() if isinstance(error, ScenarioError)}
    for error in errors.values():
        typer.echo(str(error), err=True)
    if as_json:
        found = [{"file": file, **facts(result)} for file, result in checks.items()]
        typer.echo(json.dumps({"ok": not errors, "files": found}, ensure_ascii=False))
    else:
        for file in (file for file in checks if file not in errors):
            typer.echo(f"{file}: ok: {summary(facts(checks[file]))}")
    if errors:
        raise typer.Exit(BAD_INPUT)


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from sim.scenario.editor import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the scenario; NAME.yaml is written.")],
    base: Annotated[Starter, typer.Option("--from", help="Shipped scenario to build on.")] = Starter.BASELINE,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented scenario to start from; nothing is overwritten."""
    from experiments.scenario_commands import write_starter

    typer.echo(f"wrote {write_starter(name, base, folder)}")
