"""The command line, ``shopsim``: what each command is called and takes. What it does is imported when it is used.

Exit codes: 0 done; 1 a check or guardrail failed; 2 bad input, one message on stderr; 130 interrupted.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from experiments import verify_command
from sim.scenario.errors import ScenarioError
from sim.scenario.starter import Starter

BAD_INPUT = 2


class _Commands(TyperGroup):
    """All commands: bad input ends any of them with a message and not with a traceback.

    Nor does a sign that the terminal's encoding does not have: a question mark stands for it.
    """

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
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
PlanSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace a value of the plan; set.PATH=VALUE: of its scenario.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="First seed; replicates count on from it.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes; default: one for each core.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to write; default: a folder in results/runs.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress and no remarks on stderr.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Run again what was run before.")]
DaskOption = Annotated[
    str | None, typer.Option("--dask", metavar="ADDRESS", help="Make the runs on a Dask cluster: tcp://host:8786.")
]
ForkOption = Annotated[
    str | None,
    typer.Option("--fork-at", metavar="DAY", help="Warm the base up to this day (30d), once a seed; go on from there."),
]


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
    dask: DaskOption = None,
    fork_at: ForkOption = None,
    fork_from: Annotated[
        Path | None,
        typer.Option("--fork-from", metavar="BASE", help="What to warm up; default: SCENARIO without --set."),
    ] = None,
) -> None:
    """Run a scenario and say what came of it."""
    from experiments import commands

    options = commands.Options(seed, replicates, workers, changes or [], out, as_json, quiet, fresh, dask, fork_at)
    raise typer.Exit(commands.run(scenario, options, fork_from))


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
    dask: DaskOption = None,
    fork_at: ForkOption = None,
) -> None:
    """Compare scenarios with a base: what each changes, how sure that is, and a verdict."""
    from experiments import commands

    options = commands.Options(seed, replicates, workers, changes or [], out, as_json, quiet, fresh, dask, fork_at)
    raise typer.Exit(commands.compare([base, *arms], options))


def _plan_command(kind: str, help_text: str) -> None:
    """Register the command of one kind of plan; its module is imported when the command runs."""

    def command(
        plan: Annotated[Path, typer.Argument(metavar="PLAN", help="Plan file.")],
        workers: WorkersOption = None,
        changes: PlanSetOption = None,
        out: OutOption = None,
        as_json: JsonOption = False,
        quiet: QuietOption = False,
        fresh: FreshOption = False,
        dask: DaskOption = None,
    ) -> None:
        from importlib import import_module

        from experiments.plans.command import PlanOptions

        options = PlanOptions(workers, changes or [], out, as_json, quiet, fresh, dask)
        raise typer.Exit(import_module(f"experiments.plans.{kind}").command(plan, options))

    command.__name__ = kind
    app.command(kind, help=help_text)(command)


_plan_command("sweep", "Run a scenario at many points of its parameters: a grid, a Latin hypercube or Sobol points.")
_plan_command("sensitivity", "Rank parameters by how much they move a metric: Morris or Sobol indices with intervals.")
_plan_command("optimise", "Search for the parameters that serve the objectives best within constraints.")
_plan_command("calibrate", "Find the parameters under which the shop looks like given data, and how sure that is.")
_plan_command("abtest", "Run a company's own experiment inside the shop, beside the true effect.")


@app.command()
def stress(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="Plan file; with --frontier a scenario file will do.")],
    frontier: Annotated[
        str | None,
        typer.Option(metavar="REWARD", help="The largest such reward at which farming does not pay: referral.bonus."),
    ] = None,
    workers: WorkersOption = None,
    changes: PlanSetOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    fresh: FreshOption = False,
    dask: DaskOption = None,
) -> None:
    """Stress a scenario with shocks: risk matrix, tail losses, alarms, responses; or find safe rewards."""
    from experiments.plans.command import PlanOptions
    from experiments.plans.stress import command

    options = PlanOptions(workers, changes or [], out, as_json, quiet, fresh, dask)
    raise typer.Exit(command(plan, options, frontier))


@app.command()
def attack(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file.")],
    accounts: Annotated[int, typer.Option(min=1, max=20, help="Accounts that an exploit may use, at most.")] = 6,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the catalogue and of luck.")] = 1,
    changes: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search for the best-paying exploit of a scenario's rules, step by step. Exits with 1 if one pays."""
    from experiments.attack import command

    raise typer.Exit(command(scenario, accounts, seed, changes or [], as_json, quiet))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that run, compare or a plan wrote.")],
) -> None:
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
    from experiments.scenario_commands import check, problems, summary

    checks = {str(file): check(file, changes or []) for file in files}
    errors = {file: error for file, error in checks.items() if isinstance(error, ScenarioError)}
    for error in errors.values():
        typer.echo(str(error), err=True)
    if as_json:
        found = [
            {"file": file, **(problems(result) if isinstance(result, ScenarioError) else result)}
            for file, result in checks.items()
        ]
        typer.echo(json.dumps({"ok": not errors, "files": found}, ensure_ascii=False))
    else:
        for file, result in checks.items():
            if not isinstance(result, ScenarioError):
                typer.echo(f"{file}: ok: {summary(result)}")
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


@app.command()
def baseline(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file.")],
    replicates: Annotated[int, typer.Option(min=2, max=100, help="Runs to write down, each with its own seed.")] = 10,
    seed: SeedOption = 1,
    metrics: Annotated[str, typer.Option(metavar="NAME,...", help="Which metrics; default: all.")] = "",
    changes: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: results/baselines/NAME.json.")
    ] = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write down what a scenario comes to, for check to compare with."""
    from experiments.check import command

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    work = command.Work(workers, as_json, quiet)
    raise typer.Exit(command.baseline(scenario, changes or [], range(seed, seed + replicates), names, out, work))


@app.command()
def check(
    baselines: Annotated[
        list[Path] | None,
        typer.Argument(metavar="BASELINE...", help="Or scenarios that have one; default: all in results/baselines."),
    ] = None,
    replicates: Annotated[int | None, typer.Option(min=2, help="Use only so many seeds of each baseline.")] = None,
    until_decided: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Begin with few seeds; more, up to N, while undecided.")
    ] = None,
    seeds_from: Annotated[
        int | None, typer.Option(metavar="SEED", min=0, max=2**32 - 1, help="Other seeds, from this one on.")
    ] = None,
    changes: SetOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 also if a metric is undecided.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Make what is found the baseline.")] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a pull request comment.")] = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run baselines again: is every metric equal, equivalent, changed or undecided? Exits with 1 if one changed."""
    from experiments.check import command
    from experiments.check.checking import Request

    request = Request(tuple(changes or ()), replicates, until_decided, seeds_from)
    reports = command.Reports(junit, markdown, strict, update)
    raise typer.Exit(command.check_baselines(baselines or [], request, reports, command.Work(workers, as_json, quiet)))
