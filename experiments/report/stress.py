"""The report of a stress study: the risk matrix, tail losses, early warning, responses, facts on law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.plans.stress_chances import limits_text
from experiments.plans.stress_output import (
    THIN,
    advice,
    alarm_text,
    alarms_text,
    answered_shocks,
    budget_text,
    by_shock,
    chance,
    event_text,
    fires_text,
    impact_of,
    is_thin,
    named,
    reserve_text,
    span,
    tail_of,
    thin_notes,
)
from experiments.plans.stress_tails import ALL
from experiments.plans.study import Study
from experiments.report.drawing import (
    BASE_COLOUR,
    COLOURS,
    DASHES,
    INK,
    QUIET,
    RULE,
    WIDTH,
    Picture,
    looks,
    nothing,
    picture,
    plain_axis,
)
from experiments.report.law import law_panel
from experiments.report.studies import Grid, Panel
from experiments.tables import interval, label, short, unit_of
from experiments.wording import number, percent

MOST_COURSES = 8
LOWEST_CHANCE = 1e-4


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a stress study."""
    summary = study.summary
    found = [
        Panel("Risk matrix", pictures=[_matrix(summary)], tables=[_risks(summary), _impacts(summary)]),
        Panel("Losses of a period", _tail_text(summary), [_exceedance(study)], [_tails(summary)]),
        Panel("Responses", [advice(rows) for rows in by_shock(summary["responses"]).values()], [_answers(summary)],
              [_responses(summary)]),
        Panel("Early warning", [_alarm_text(summary)], [_courses(study)], [_alarms(summary)]),
    ]  # fmt: skip
    if summary["budgets"]["worlds"]:
        found.append(_budgets(summary))
    return [*found, law_panel(summary["law"])]


# The risk matrix.


def _matrix(summary: Mapping[str, Any]) -> Picture:
    """Draw each risk by how often it comes in a period and what an event costs."""
    events = {row["shock"]: _float(row["events"]) for row in summary["risks"]}
    figure = Figure(figsize=(WIDTH * 0.78, 3.9))
    axes = figure.subplots()
    drawn = []
    for place, (shock, expected) in enumerate(events.items()):
        often = max(expected, LOWEST_CHANCE)
        impact = impact_of(summary, shock)
        if impact is None:
            mean = low = high = _float(tail_of(summary, shock)["mean"]) / expected if expected else math.nan
        else:
            mean, low, high = (-_float(impact[key]) for key in ("change", "change_high", "change_low"))
        if not math.isfinite(mean):
            continue
        drawn.append((shock, often, mean))
        colour = COLOURS[place % len(COLOURS)]
        if math.isfinite(low) and low < high:
            axes.plot([often, often], [low, high], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.scatter([often], [mean], color=colour, s=42, zorder=3)
        side, gap = ("left", 8) if place % 2 else ("right", -8)
        axes.annotate(shock, (often, mean), (gap, 4), textcoords="offset points", ha=side, color=INK)
    if not drawn:
        return nothing("n/a: no shock could be compared with the calm world.")
    axes.set_xscale("log")
    axes.set_xlim(min(often for _, often, _ in drawn) / 4, 3 * max(1.0, *(often for _, often, _ in drawn)))
    if all(mean > 0 for _, _, mean in drawn):
        axes.set_yscale("log")
        axes.set_ylim(min(mean for _, _, mean in drawn) / 3, max(mean for _, _, mean in drawn) * 3)
    else:
        axes.axhline(0, color=INK, linewidth=0.9)
    _same_expectation(axes, drawn)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plain_axis(axes)
    axes.set_xlabel(f"events expected in {summary['period_days']:g} days")
    axes.set_ylabel("loss of an event, yuan")
    text = "; ".join(f"{shock}: {often:.3g} events, loss {short(mean)} yuan" for shock, often, mean in drawn)
    caption = (
        "Each risk by how often it comes and how much contribution an event takes, with its 95% interval over seeds. "
        "Along a grey curve the expected loss is the same: what lies beyond a curve weighs more. Below zero an event "
        "pays."
    )
    return picture(figure, "matrix", "Risk matrix", text, caption)


def _same_expectation(axes: Any, drawn: Sequence[tuple[str, float, float]]) -> None:
    """Draw curves of equal expected loss through the range of the figure."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    across = np.geomspace(left, right, 200)
    largest = max((often * mean for _, often, mean in drawn), default=0.0)
    for product in (largest / 1000, largest / 100, largest / 10, largest) if largest > 0 else ():
        axes.plot(across, product / across, color=RULE, linewidth=0.9, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _risks(summary: Mapping[str, Any]) -> Grid:
    rows = []
    level = summary["tails"][0]["level"]
    for row in [*summary["risks"], {"shock": ALL, "chance": None}]:
        tail = tail_of(summary, row["shock"])
        likely = "" if row["chance"] is None else chance(row["chance"])
        event, mean = event_text(summary, row["shock"]), span(tail, "mean", "mean_low", "mean_high")
        rows.append([row["shock"], likely, event, mean, *_worst(tail)])
    days = f"{summary['period_days']:g} days"
    columns = ["", f"chance in {days}", "loss of an event", "expected loss", f"VaR {percent(level)}",
               f"shortfall {percent(level)}"]  # fmt: skip
    note = (
        f"Yuan; expected loss, value at risk and shortfall are of {days}. Intervals are 95%: of losses of an event and "
        "expected losses by Student's t over seeds (of a stated law: what revenue leaves open), of the others by "
        "resampling seeds, what Monte Carlo leaves open included."
    )
    return Grid(columns, rows, "Risks", " ".join([note, *thin_notes(summary)]), 5)


def _worst(tail: Mapping[str, Any]) -> list[str]:
    """Write value at risk and shortfall, marked if they rest on too few runs."""
    mark = THIN if is_thin(tail) else ""
    measures = ("value_at_risk", "shortfall")
    return [span(tail, name, f"{name}_low", f"{name}_high") + mark for name in measures]  # responses have no limits


def _impacts(summary: Mapping[str, Any]) -> Grid:
    metrics = list(dict.fromkeys(row["metric"] for row in summary["impacts"]))
    cells: dict[str, dict[str, str]] = {}
    for row in summary["impacts"]:
        unit = unit_of(row["metric"])
        limits = interval(_float(row["change_low"]), _float(row["change_high"]), unit, signed=True)
        text = number(_float(row["change"]), unit, signed=True) + (f" ({limits})" if limits else "")
        cells.setdefault(named(row), {})[row["metric"]] = f"{text} {row['verdict']}"
    rows = [[shock, *(own.get(metric, "–") for metric in metrics)] for shock, own in cells.items()]
    note = "Change against the calm world with the same seed, to the end of the run; 95% intervals over seeds."
    return Grid(["", *map(label, metrics)], rows, "What an event does", note, len(metrics))


# Losses.


def _tail_text(summary: Mapping[str, Any]) -> list[str]:
    text = [
        f"How many events come in {summary['period_days']:g} days is drawn from each risk's law (Poisson for a "
        "rate; at most one for a probability), what each costs from the losses that replicates had, each seed "
        "being equally likely, or from the stated law. Events are independent. The value at risk is the loss that "
        "only the worst periods exceed; the shortfall is the mean of these worst periods."
    ]
    if summary["reserve"]:
        text.append(reserve_text(summary["reserve"]))
    return text


def _exceedance(study: Study) -> Picture:
    """Draw how likely a period loses more than an amount."""
    table = study.table("exceedance")
    table = table[(table["chance"] >= LOWEST_CHANCE) & (table["loss"] > 0)]
    if table.empty:
        return nothing("n/a: no loss is possible.")
    figure = Figure(figsize=(WIDTH * 0.78, 3.4))
    axes = figure.subplots()
    risks = [ALL, *(risk for risk in table["risk"].unique() if risk != ALL)]
    styles = looks(risks)
    for risk in risks:
        rows = table[table["risk"] == risk]
        if len(rows):
            look = styles[risk]
            axes.plot(rows["loss"], rows["chance"], color=look.colour, dashes=look.dashes or (None, None),
                      linewidth=2.0 if risk == ALL else 1.3, label=risk)  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(max(float(table["chance"].min()), LOWEST_CHANCE), 1.1)
    for level in dict.fromkeys(row["level"] for row in study.summary["tails"]):
        axes.axhline(1 - level, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    axes.set_xscale("log")
    plain_axis(axes, "x")
    axes.set_xlabel("loss of a period, yuan")
    axes.set_ylabel("chance to lose more")
    axes.legend(loc="lower left")
    parts = [f"{row['risk']}: VaR {percent(row['level'])} {short(_float(row['value_at_risk']))} yuan"
             for row in study.summary["tails"]]  # fmt: skip
    caption = (
        "Loss exceedance: how likely a period loses more than an amount. Where a curve crosses a dashed line is "
        "the value at risk of that level."
    )
    return picture(figure, "exceedance", "Loss exceedance curve", "; ".join(parts), caption)


def _tails(summary: Mapping[str, Any]) -> Grid:
    rows = [
        [
            row["risk"], percent(row["level"]), *_worst(row), number(_float(row["shortfall_error"]), "yuan"),
            str(row["runs"]), str(row["runs_needed"] or "–"),
        ]
        for row in summary["tails"]
    ]  # fmt: skip
    columns = ["risk", "level", "value at risk", "shortfall", "Monte Carlo error", "runs", "runs needed"]
    note = (
        "The Monte Carlo error is the standard error of the shortfall; more draws make it smaller, and only more "
        f"replicates the intervals. {THIN}: fewer runs than needed. With the runs needed it is 95% likely that one of "
        "them is as bad as the event at the value at risk (Wilks); events too rare for it (–) make it 0 whatever they "
        "cost."
    )
    return Grid(columns, rows, "Tail measures, yuan", note, 5)


# Responses.


def _answers(summary: Mapping[str, Any]) -> Picture:
    """Draw the net loss of each response to each risk."""
    grouped = answered_shocks(summary)
    if not grouped:
        return nothing("No response was tried, or no shock that has one changes anything.")
    heights = [len(rows) for rows in grouped.values()]
    figure = Figure(figsize=(WIDTH * 0.8, 0.75 + 0.34 * sum(heights) + 0.35 * len(heights)))
    grid = figure.subplots(len(grouped), 1, squeeze=False, height_ratios=heights)[:, 0]
    parts = []
    for axes, (shock, rows) in zip(grid, grouped.items(), strict=True):
        axes.axvline(0, color=INK, linewidth=0.9)
        for place, row in enumerate(rows):
            mean, low, high = (_float(row[key]) for key in ("net_loss", "net_loss_low", "net_loss_high"))
            colour = BASE_COLOUR if place == 0 else COLOURS[(place - 1) % len(COLOURS)]
            if math.isfinite(low):
                axes.plot([low, high], [place, place], color=colour, linewidth=1.8)
            axes.scatter([mean], [place], color=colour, s=34, zorder=3)
            parts.append(f"{shock}, {row['response']}: {short(mean)} yuan")
        axes.set_yticks(range(len(rows)), [f"{row['response']} ({row['kind']})" if place else "accept"
                                           for place, row in enumerate(rows)])  # fmt: skip
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_title(shock)
        axes.grid(axis="y", visible=False)
        plain_axis(axes, "x")
    grid[-1].set_xlabel("expected net loss of a period, yuan (left is better)")
    figure.tight_layout()
    caption = (
        "What each response leaves to be lost in a period on average, its own cost included, also when nothing "
        "happens; 95% intervals over seeds, of a stated law what revenue leaves open."
    )
    return picture(figure, "responses", "What responses do", "; ".join(parts), caption)


def _members(row: Mapping[str, Any]) -> str:
    if row["members"] is None:
        return "–"
    limits = interval(_float(row["members_low"]), _float(row["members_high"]), "persons", signed=True)
    return number(_float(row["members"]), "persons", signed=True) + (f" ({limits})" if limits else "")


def _responses(summary: Mapping[str, Any]) -> Grid:
    rows = []
    for shock, own in by_shock(summary["responses"]).items():
        for row in own if not own[0]["changes_nothing"] else ():
            saves = "" if row is own[0] else span(row, "saves", "saves_low", "saves_high")
            rows.append(
                [
                    shock, row["response"], row["kind"], chance(_float(row["chance"])),
                    number(_float(row["standing"]), "yuan"), _members(row),
                    span(row, "net_loss", "net_loss_low", "net_loss_high"), saves,
                    *_worst(row),
                ]
            )  # fmt: skip
    level = percent(summary["tails"][0]["level"])
    columns = ["risk", "response", "kind", "chance", "costs anyway", "members", "net loss", "saves", f"VaR {level}",
               f"shortfall {level}"]  # fmt: skip
    note = (
        "Yuan a period. Costs anyway: what the response costs if nothing happens, from runs of the calm world with it "
        "(scaled from the length of the run to the period) and from what the plan says; members: what it changes in "
        "members at the end of such a run, whose later worth no run of this length shows. Saves: against accepting, "
        "paired by seed. A response is judged for its own risk; what two do together was not run. "
        f"{THIN}: rests on too few runs."
    )
    return Grid(columns, rows, "Responses", note, 7)


# Early warning.


def _alarm_text(summary: Mapping[str, Any]) -> str:
    share = summary["alarms"][0]["false_alarms"] if summary["alarms"] else None
    rate = "" if share is None else f" Each alone is false in at most {percent(share)} of further calm runs."
    return (
        "Daily figures that the platform itself can log, none of which knows who is fake. The level of each is set "
        f"in the calm world alone.{rate} {alarms_text(summary)} Days count from the start of the shock to the first "
        "alarm."
    )


def _courses(study: Study) -> Picture:
    """Draw the surest signal of each shock, day by day, calm and struck."""
    courses, alarms = study.table("courses"), study.table("alarms")
    if courses.empty or alarms.empty:
        return nothing("No shock was run.")
    shown = list(courses.groupby(["shock", "size"], sort=False))[:MOST_COURSES]
    rows = math.ceil(len(shown) / 2)
    figure = Figure(figsize=(WIDTH, 2.1 * rows + 0.3))
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    parts = []
    for axes, ((shock, size), table) in zip(grid, shown, strict=False):
        alarm = alarms[(alarms["shock"] == shock) & (alarms["size"] == size)].iloc[0]
        for world, colour, dashes in ((("calm"), BASE_COLOUR, DASHES[1]), ("shock", COLOURS[1], ())):
            part = table[table["world"] == world]
            sns.lineplot(part, x="day", y="mean", ax=axes, color=colour, dashes=dashes or (None, None), linewidth=1.5,
                         label=world, legend=False)  # fmt: skip
            axes.fill_between(part["day"], part["low"], part["high"], color=colour, alpha=0.15, linewidth=0)
        axes.axhline(alarm["level"], color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        name = str(shock) + (f", {size}" if size else "")
        heard = percent(alarm["fires"]) if alarm["fires"] else "none"
        axes.set_title(f"{name}: " + (f"alarm in {heard} of runs" if alarm["proven"] else "no alarm beats chance"))
        axes.set(xlabel="day", ylabel=str(alarm["signal"]).replace("_", " "))
        plain_axis(axes)
        parts.append(
            f"{name}: {alarm['signal']} {alarm['side']} {short(float(alarm['level']))}, fires in {heard} of runs"
        )
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    grid[0].legend(loc="upper left")
    figure.tight_layout()
    caption = (
        "The surest signal of each shock: mean over seeds with the range of all of them, calm (dashed, grey) and "
        "with the shock; the horizontal line is the alarm's level."
    )
    if len(courses.groupby(["shock", "size"])) > len(shown):
        caption += f" Drawn are the first {MOST_COURSES}; courses.parquet has all."
    return picture(figure, "alarms", "Early warning", "; ".join(parts), caption)


def _alarms(summary: Mapping[str, Any]) -> Grid:
    rows = []
    for row in summary["alarms"]:
        longest = f"{_float(row['days']):g} (at most {_float(row['days_longest']):g})"
        rows.append([named(row), alarm_text(row), fires_text(row), longest])
    silent = {row["shock"] for row in summary["impacts"]} - {row["shock"] for row in summary["alarms"]}
    note = "The three surest proven alarms of each, with exact 95% intervals; alarms.parquet has all that were tried."
    if silent:
        note += f" None is proven of: {', '.join(sorted(silent))}."
    return Grid(["risk", "alarm", "given in struck runs", "after days, median"], rows, "Alarms", note, 2)


def _budgets(summary: Mapping[str, Any]) -> Panel:
    budgets = summary["budgets"]
    rows = [[f"{row['world']}: {row['scheme']}", percent(row["share"]), _share_limits(row), str(row["runs"])]
            for row in budgets["worlds"]]  # fmt: skip
    text = [budget_text(row) for row in budgets["within_a_run"]]
    text.append("Shocks come as often as the plan says, each on its own.")
    note = (
        "A budget counts as exhausted if at the end of some day less is left of it than one use of the scheme costs on "
        "average. Intervals of shares are exact (Clopper and Pearson), one-sided where it is none or all."
    )
    columns = ["world and scheme", "runs out in", "95% interval", "runs"]
    return Panel("Budgets", text, tables=[Grid(columns, rows, "Share of runs in which a budget runs out", note, 3)])


def _share_limits(row: Mapping[str, Any]) -> str:
    return limits_text(_float(row["low"]), _float(row["high"]))


def _float(value: Any) -> float:
    return math.nan if value is None or value is pd.NA else float(value)
