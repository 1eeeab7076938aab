"""``shopsim verify``: the engine against theory. What it runs is imported when it is used."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.verification import Check

FAILED, BAD_INPUT = 1, 2

app = typer.Typer(help="Check the engine against theory; without a case, all of them (about three minutes).")

SeedOption = Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the draws.", show_default="1")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
RunsOption = Annotated[int | None, typer.Option("--runs", help="Default: enough for a standard error below 1%.")]
GraphOption = Annotated[str, typer.Option("--graph", metavar="karate|FILE", help="The karate club, or an edge list.")]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="A,B,...", help="Who signs up first.")]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context, seed: SeedOption = None, as_json: JsonOption = False) -> None:
    """Check the engine against theory; without a case, all of them (about three minutes)."""
    context.obj = {"seed": seed, "as_json": as_json}
    if context.invoked_subcommand is None:
        _report(context, seed, as_json)


@app.command()
def bass(
    context: typer.Context,
    p: Annotated[float, typer.Option(help="Adoption of one's own, a period.")] = 0.03,
    q: Annotated[float, typer.Option(help="Word of mouth, a period.")] = 0.38,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diffusion in full mixing: the Bass curve."""
    _report(context, seed, as_json, "bass", p=p, q=q, runs=runs)


@app.command()
def borel(
    context: typer.Context,
    k: Annotated[float, typer.Option(help="Friends whom a member brings, mean.")] = 0.6,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sizes of referral chains that die out: the Borel distribution."""
    _report(context, seed, as_json, "borel", k=k, runs=runs)


@app.command()
def extinction(
    context: typer.Context,
    r: Annotated[float, typer.Option(help="Friends whom a member brings, mean.")] = 1.5,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Referral chains that could grow for ever: how many die out."""
    _report(context, seed, as_json, "extinction", r=r, runs=runs)


@app.command()
def giant(
    context: typer.Context,
    degree: Annotated[float, typer.Option(help="Friends, mean.")] = 4.0,
    p: Annotated[float, typer.Option(help="Chance that a friend who is told signs up.")] = 0.4,
    persons: Annotated[int, typer.Option(help="Of each network.")] = 25_000,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Independent cascade on random networks: the share that a large outbreak reaches."""
    _report(context, seed, as_json, "giant", degree=degree, p=p, persons=persons, runs=runs)


@app.command()
def ic(
    context: typer.Context,
    graph: GraphOption = "karate",
    p: Annotated[float, typer.Option(help="Chance that a friend who is told signs up.")] = 0.1,
    seeds: SeedsOption = "0",
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Independent cascade on a network: how many sign up."""
    _report(context, seed, as_json, "ic", graph=graph, p=p, seeds=_names(seeds), runs=runs)


@app.command()
def lt(
    context: typer.Context,
    graph: GraphOption = "karate",
    seeds: SeedsOption = "0",
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Linear threshold on a network: how many sign up."""
    _report(context, seed, as_json, "lt", graph=graph, seeds=_names(seeds), runs=runs)


@app.command("team-fill")
def team_fill(
    context: typer.Context,
    size: Annotated[int, typer.Option(help="Places in a team.")] = 3,
    rate: Annotated[float, typer.Option(help="Strangers a day who would join.")] = 2.5,
    window: Annotated[str, typer.Option(help="How long a team has, such as 24h or 2d.")] = "24h",
    teams: Annotated[int | None, typer.Option(help="Default: enough for a standard error below 1%.")] = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Group-buy: how many teams fill in time."""
    _report(context, seed, as_json, "team-fill", size=size, rate=rate, window=window, teams=teams)


@app.command()
def logit(
    context: typer.Context,
    persons: Annotated[int, typer.Option(help="Members of the shop.")] = 10_000,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choices of visitors: the logit's closed form."""
    _report(context, seed, as_json, "logit", persons=persons)


@app.command()
def demand(
    context: typer.Context,
    profile: Annotated[str, typer.Option(help="Demand profile: media, grocery or a file.")] = "media",
    persons: Annotated[int, typer.Option(help="Customers.")] = 80_000,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """How often customers come back: BG/NBD."""
    _report(context, seed, as_json, "demand", profile=profile, persons=persons)


@app.command()
def interference(
    context: typer.Context,
    b: Annotated[float, typer.Option(help="Effect of one's own treatment.")] = 0.5,
    g: Annotated[float, typer.Option(help="Effect of the treatment of all friends.")] = 1.0,
    within: Annotated[float, typer.Option(help="Share of ties inside communities.")] = 0.87,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Experiments with linear interference: what each design estimates."""
    _report(context, seed, as_json, "interference", b=b, g=g, within=within, runs=runs)


@app.command("erlang-c")
def erlang_c(
    context: typer.Context,
    analysts: Annotated[int, typer.Option(help="Who review at the same time.")] = 3,
    rate: Annotated[float, typer.Option(help="Cases an hour.")] = 10.0,
    minutes: Annotated[float, typer.Option(help="Work on a case, mean.")] = 12.0,
    runs: RunsOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Review desk: how many cases wait for an analyst, and how long."""
    _report(context, seed, as_json, "erlang-c", analysts=analysts, rate=rate, minutes=minutes, runs=runs)


@app.command()
def splitting(
    context: typer.Context,
    a: Annotated[float, typer.Option(help="Commission of the first level; each further one is this part of it.")] = 0.3,
    identities: Annotated[int, typer.Option(help="Accounts into which a buyer splits.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Geometric rewards: what an adversary gains by splitting into several accounts."""
    _report(context, None, as_json, "splitting", a=a, identities=identities)


@app.command()
def severe(
    context: typer.Context,
    probability: Annotated[float, typer.Option(help="That the event comes in a period.")] = 0.012,
    loss: Annotated[float, typer.Option(help="Yuan that it costs, mean.")] = 50_000.0,
    spread: Annotated[float, typer.Option(help="Standard deviation of the loss's logarithm.")] = 1.0,
    periods: Annotated[int | None, typer.Option(help="Default: enough for a standard error below 1%.")] = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Severe event in the Monte Carlo of stress tests: the chance and the mean loss given to it."""
    given = {"probability": probability, "loss": loss, "spread": spread, "periods": periods}
    _report(context, seed, as_json, "severe", **given)


@app.command()
def ledger(context: typer.Context, seed: SeedOption = None, as_json: JsonOption = False) -> None:
    """Conservation of money, budgets and stock."""
    _report(context, seed, as_json, "ledger")


@app.command()
def philox(context: typer.Context, as_json: JsonOption = False) -> None:
    """Random numbers: the published answers of Philox4x32-10."""
    _report(context, None, as_json, "philox")


def _names(seeds: str) -> list[str]:
    return [name.strip() for name in seeds.split(",") if name.strip()]


def _report(
    context: typer.Context, seed: int | None, as_json: bool, case: str | None = None, **parameters: Any
) -> None:
    """Run one case or all, print what they find, and end with the exit code."""
    from experiments.verification import CASES, PLAN, UNDRAWN, BadParameterError, verify

    outer = context.obj or {}
    first = next((s for s in (seed, outer.get("seed")) if s is not None), 1)
    as_json = as_json or bool(outer.get("as_json"))
    drawn = {} if case in UNDRAWN else {"seed": first}
    work = verify(first) if case is None else (CASES[case](**parameters, **drawn) for _ in range(1))
    names = [name for name, _ in PLAN] if case is None else [case]
    started = time.perf_counter()
    try:
        checks = _with_progress(work, names)
    except BadParameterError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(BAD_INPUT) from None
    elapsed = round(time.perf_counter() - started, 3)
    passed = all(check.passed for check in checks)
    if as_json:
        found = {"passed": passed, "seed": first, "checks": [check.record() for check in checks], "elapsed_s": elapsed}
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _print(checks, elapsed)
    if not passed:
        raise typer.Exit(FAILED)


def _with_progress(work: Iterable[list[Check]], names: list[str]) -> list[Check]:
    """Collect checks, and show on a terminal which case is running."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from experiments.tables import console

    checks: list[Check] = []
    errors = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(names[0], total=len(names))
        for done, found in enumerate(work, start=1):
            checks += found
            bar.update(task, completed=done, description=names[min(done, len(names) - 1)])
    return checks


def _print(checks: list[Check], elapsed: float) -> None:
    from experiments.tables import console
    from experiments.verification.checks import PRECISE

    out = console()
    out.print(_table(checks))
    failed = sum(not check.passed for check in checks)
    out.print(f"{len(checks) - failed} of {len(checks)} within three standard errors, in {elapsed:.0f} s.")
    if any(check.precision > PRECISE for check in checks):
        out.print("A standard error above 1% of its target says little: give more runs.", style="yellow")


def _table(checks: list[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("case", "left"), ("quantity", "left"), ("target", "right"), ("simulated", "right"), ("s.e.", "right"),
        ("z", "right"), ("", "left"), ("target from", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    number: Callable[[float], str] = "{:.5g}".format
    for check in checks:
        exact = check.standard_error == 0
        table.add_row(
            _label(check), check.quantity, number(check.target), number(check.simulated),
            "" if exact else f"{check.standard_error:.2g}", "" if exact else f"{check.z:+.2f}",
            Text("pass", "green") if check.passed else Text("FAIL", "bold red"), Text(check.source, "dim"),
        )  # fmt: skip
    return table


def _label(check: Check) -> str:
    """Return the case with the parameters that tell it from others of its kind."""
    shown = ("graph", "seeds", "degree", "p", "q", "k", "r", "size", "rate", "window", "profile", "analysts", "minutes",
             "a", "identities", "probability", "loss", "spread")  # fmt: skip
    values = [f"{name} {check.parameters[name]}" for name in shown if name in check.parameters]
    return " ".join([check.case, *values])
