"""The section on individual effects: who was persuaded, and what treating only them is worth."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from experiments.lab.outcomes import COVARIATES
from experiments.lab.wording import effect, limits, what
from experiments.plans.study import Study
from experiments.report.drawing import COLOURS, INK, QUIET, WIDTH, Picture, nothing, percent_axis, picture
from experiments.report.studies import Grid, Panel
from experiments.wording import UNKNOWN, percent

KINDS = {"persuaded": "#0072b2", "anyway": "#9aa5b1", "put off": "#d55e00", "unmoved": "#e4e7eb"}
CURVES = {
    "ideal": ("if one knew everybody's twin", QUIET, (3, 2)),
    "model": ("the model's choice, in truth", COLOURS[0], ()),
    "promised": ("the model's choice, as the test has it", COLOURS[1], (4, 1.5)),
    "likely": ("likely buyers first, in truth", COLOURS[2], (1, 1)),
    "random": ("by lot", INK, ()),
}
"""Label, colour and dashes of each ranking."""


def individual(study: Study) -> Panel:
    """Return the section on individual effects."""
    found = study.summary["individual"]
    outcome = what(found["outcome"])
    quality = {name: _limits(rated) for name, rated in found["quality"].items()}
    profiles = study.table("profiles")
    text = [
        f"Every person lives twice, with everybody treated and with nobody, on the same draws: {found['persons']:,} "
        "persons in all shops together. A company knows only its test by persons. A model learned from it whom the "
        "scheme would move, in shops other than those that it then ranked, from what the platform had logged before.",
        f"Quality of the ranking, from 0 (by lot) to 1 (ideal): the model {quality['model']}, likely buyers first "
        f"{quality['likely']}. {_useful(found['quality']['model'])}",
        _only_persuaded(profiles, outcome),
    ]
    return Panel(
        f"Whom it persuades: {outcome}",
        text,
        [_kinds(profiles), _curves(study.table("uplift"), outcome)],
        [
            *([_targeting(study.table("targeting"), outcome, found["target"])] if "target" in found else []),
            _savings(study.table("savings"), outcome),
            _profiles(profiles),
        ],
    )


def _useful(rated: dict[str, float | None]) -> str:
    """Say whether the model's choice beats a lot."""
    low, high = rated["ci_low"], rated["ci_high"]
    if low is not None and low > 0:
        return "So choosing by the model beats choosing by lot."
    reason = "Where people move each other, a test by persons shows the model the wrong effects"
    if high is not None and high < 0:
        return f"So choosing by the model is worse than choosing by lot. {reason}."
    return (
        f"So it is not settled that choosing by the model beats choosing by lot. {reason}; too few persons do as well."
    )


def _only_persuaded(profiles: pd.DataFrame, outcome: str) -> str:
    """Say what could be saved at best."""
    rows = profiles.set_index("kind")
    persuaded, put_off = (float(str(rows.at[kind, "persons"])) for kind in ("persuaded", "put off"))
    if persuaded <= put_off:
        return f"The scheme puts off as many as it persuades: treating everybody gains no {outcome}."
    part = float(str(rows.at["persuaded", "benefit_share"]))
    paid = f", at {percent(part)} of the benefits" if math.isfinite(part) else ""
    return (
        "The most that choosing could do, if what each person shows were the work of their own treatment alone: "
        f"treating only the persuaded gains {percent(persuaded / (persuaded - put_off))} of the {outcome} that "
        f"treating everybody gains{paid}."
    )


def _limits(rated: dict[str, float | None]) -> str:
    mean, low, high = (
        math.nan if rated[key] is None else float(rated[key] or 0.0) for key in ("mean", "ci_low", "ci_high")
    )
    if not math.isfinite(mean):
        return UNKNOWN
    return f"{mean:.2f}" + (f" (95% interval {low:.2f} to {high:.2f})" if math.isfinite(low) else "")


def _kinds(profiles: pd.DataFrame) -> Picture:
    """Draw the share of persons and of benefits by kind."""
    rows = profiles[profiles["kind"] != "everybody"].set_index("kind")
    figure = Figure(figsize=(WIDTH, 1.5))
    axes = figure.subplots()
    for y, key in enumerate(("share", "benefit_share")):
        left = 0.0
        for kind, colour in KINDS.items():
            value = float(str(rows.at[kind, key]))
            value = 0.0 if math.isnan(value) else max(0.0, value)
            axes.barh(y, value, left=left, color=colour, edgecolor="white", height=0.65, label=kind if y == 0 else None)
            if value > 0.04:
                dark = kind == "unmoved"
                axes.text(left + value / 2, y, percent(value), ha="center", va="center", color=INK if dark else "white")
            left += value
    axes.set_yticks([0, 1], ["persons", "benefits"])
    axes.set(xlim=(0, 1), ylim=(1.5, -0.5))
    axes.grid(visible=False, axis="y")
    percent_axis(axes, "x")
    figure.legend(loc="upper left", ncols=4, bbox_to_anchor=(0.05, 1.0))
    figure.tight_layout(rect=(0, 0, 1, 0.83))
    caption = (
        "Persuaded did it only with the scheme, anyway with and without it, put off only without it. What the scheme "
        "pays to any but the persuaded buys nothing by them, though it may by those whom they bring."
    )
    told = "; ".join(f"{kind}: {percent(float(str(rows.at[kind, 'share'])))} of persons" for kind in KINDS)
    return picture(figure, "kinds", "Who was persuaded, and who got the benefits", f"{told}.", caption)


def _curves(table: pd.DataFrame, outcome: str) -> Picture:
    """Draw the uplift curve of each ranking."""
    if table["gain"].notna().sum() == 0:
        return nothing("n/a: nobody's outcome differs between the worlds.")
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.subplots()
    axes.axhline(0, color=QUIET, linewidth=0.8)
    for name, (label, colour, dashes) in CURVES.items():
        curve = table[table["ranking"] == name]
        (line,) = axes.plot(
            curve["share"], curve["gain"], color=colour, label=label, linewidth=1.0 if name == "random" else 1.6
        )
        if dashes:
            line.set_dashes(dashes)
    axes.set(
        xlim=(0, 1),
        xlabel="persons treated, those who promise most first",
        ylabel=f"{outcome} gained per 1,000 persons",
    )
    percent_axis(axes, "x")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    caption = (
        "What treating the first so many gains. The higher a curve rises above the straight line, the more is gained "
        "by choosing whom to treat; a curve that falls at the end treats people whom the scheme puts off. The promised "
        "curve (Qini) is what the company would see in its own test. True gains are those that each person showed when "
        "everybody was treated."
    )
    ends = {name: float(table.loc[table["ranking"] == name, "gain"].iloc[-1]) for name in ("model", "promised")}
    text = f"Treating everybody gains {ends['model']:.3g} in truth, {ends['promised']:.3g} as the test has it."
    return picture(figure, "uplift", "Uplift curves", text, caption)


def _profiles(profiles: pd.DataFrame) -> Grid:
    shares = ("is_member", "had_left", "friends_members")
    rows = []
    for row in profiles.to_dict("records"):
        cells = [percent(row[name]) if name in shares else f"{row[name]:,.1f}" for name in COVARIATES]
        cells = [UNKNOWN if cell.startswith("nan") else cell for cell in cells]
        benefit = f"{row['benefit']:,.2f}" if math.isfinite(row["benefit"]) else UNKNOWN
        rows.append([row["kind"], f"{row['persons']:,}", percent(row["share"]), benefit, *cells])
    columns = ("kind", "persons", "share", "benefit, yuan", *(name.replace("_", " ") for name in COVARIATES))
    note = "; ".join(f"{name.replace('_', ' ')}: {meaning}" for name, meaning in COVARIATES.items()) + "."
    return Grid(
        columns, rows, "What they looked like before the scheme, means", note.capitalize(), numbers=len(columns) - 1
    )


def _savings(savings: pd.DataFrame, outcome: str) -> Grid:
    def cell(value: float) -> str:
        return percent(value) if math.isfinite(value) else UNKNOWN

    rows = [
        [percent(row["share"]), cell(row["effect_share"]), cell(row["benefit_share"])]
        for row in savings.to_dict("records")
    ]
    return Grid(
        ("persons treated, by the model", f"of all {outcome} gained", "of all benefits paid"),
        rows, "What treating fewer would keep, in truth",
        "By the model's ranking, from what each person showed when everybody was treated.", numbers=2,
    )  # fmt: skip


def _targeting(table: pd.DataFrame, outcome: str, share: float) -> Grid:
    names = {
        "model": f"{percent(share)}, chosen by the model", "lot": f"{percent(share)}, by lot", "all": "everybody",
        "model - lot": "the model's choice less the lot's",
    }  # fmt: skip
    rows = [
        [
            names[str(row["who"])], effect(row["gain"]), limits(row["gain_low"], row["gain_high"]),
            effect(row["benefit"]), limits(row["benefit_low"], row["benefit_high"]),
        ]
        for row in table.to_dict("records")
    ]  # fmt: skip
    return Grid(
        ("treated", f"{outcome} gained", "95% interval", "benefits paid, yuan", "95% interval"),
        rows, "What choosing really does, per 1,000 persons",
        "Not reckoned but run: the same shops with only these persons treated, against nobody treated. It holds what "
        "the treated pass on to the others, which curves and the table below leave out.", numbers=4,
    )  # fmt: skip
