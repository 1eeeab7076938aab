"""What a stress study says on a terminal, and its verdict in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.plans.study import Study
from experiments.wording import listed, number, percent, yuan

LOSS = "contribution"
ALL = "all risks"
Row = Mapping[str, Any]


def chance(share: float) -> str:
    """Write a probability as short as it can be told."""
    if not math.isfinite(share):
        return "n/a"
    return f"{100 * share:.2g}%" if share < 0.0995 else percent(share)


def span(row: Row, name: str, low: str, high: str) -> str:
    """Write an amount of yuan with its interval, if it has one."""
    value, lower, upper = (_float(row[key]) for key in (name, low, high))
    text = number(value, "yuan")
    limits = math.isfinite(lower) and math.isfinite(upper)
    return f"{text} ({number(lower, 'yuan')} to {number(upper, 'yuan')})" if limits else text


def tail_of(summary: Row, risk: str, level: float | None = None) -> Row:
    """Return the tail measures of a risk, at a level or the first."""
    return next(r for r in summary["tails"] if r["risk"] == risk and level in (None, r["level"]))


def impact_of(summary: Row, shock: str, metric: str = LOSS) -> Row | None:
    """Return what a shock of any size changes in a metric; None for a stated law."""
    rows = (r for r in summary["impacts"] if r["shock"] == shock and r["metric"] == metric and r["size"] == "")
    return next(rows, None)


def best_response(rows: Sequence[Row]) -> Row:
    """Return the response with the smallest expected net loss."""
    return min(rows, key=lambda row: math.inf if _is_missing(row["net_loss"]) else row["net_loss"])


def advice(rows: Sequence[Row]) -> str:
    """Say in a sentence which response to a risk is best, and how sure that is."""
    shock, accepted, best = rows[0]["shock"], rows[0], best_response(rows)
    if len(rows) == 1:
        return f"{shock}: no response was tried; accepting it {_yuan(accepted)} a period on average."
    if best is accepted:
        near = min(rows[1:], key=lambda row: math.inf if _is_missing(row["net_loss"]) else row["net_loss"])
        text = (
            f"{shock}: accept it. That {_yuan(accepted)} a period on average, and no response does better; the "
            f"nearest, {near['response']}, {_yuan(near)}."
        )
        return text + _tamer(rows, best)
    low, high = _float(best["saves_low"]), _float(best["saves_high"])
    text = (
        f"{shock}: {best['response']} ({best['kind']}) is best. It {_yuan(best)} a period on average, where accepting "
        f"{_yuan(accepted)}"
    )
    if math.isfinite(low):
        least, most = (number(limit, "yuan", signed=True) for limit in (low, high))
        saved = f"95% interval of what it saves: {least} to {most} yuan"
        text += f" ({saved})" if low > 0 else f", but that is not settled ({saved})"
    if _float(best["members_high"]) < 0:
        text += f"; it costs {number(-_float(best['members']), 'persons')} members a run even if nothing happens"
    return f"{text}.{_tamer(rows, best)}"


def _tamer(rows: Sequence[Row], best: Row) -> str:
    """Name the response that lowers the shortfall most, if it is not the best on average and lowers it by a tenth."""
    tame = min(rows, key=lambda row: math.inf if _is_missing(row["shortfall"]) else row["shortfall"])
    before, after = _float(best["shortfall"]), _float(tame["shortfall"])
    if tame is best or not after < 0.9 * before:
        return ""
    return (
        f" Dearer on average, {tame['response']} lowers the mean of the worst periods from {number(before, 'yuan')} to "
        f"{number(after, 'yuan')} yuan."
    )


def by_shock(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return responses by shock, in their order; accept comes first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["shock"], []).append(row)
    return found


def verdict(summary: Row) -> str:
    """Say which risk weighs most, how bad the worst periods are, and what to do."""
    singles = [row["risk"] for row in summary["tails"] if row["risk"] != ALL]
    singles = list(dict.fromkeys(singles))
    worst = max(singles, key=lambda risk: _float(tail_of(summary, risk)["mean"]))
    days = f"{summary['period_days']:g} days"
    whole = tail_of(summary, ALL)
    text = (
        f"Over {days} the risks together lose {span(whole, 'mean', 'mean_low', 'mean_high')} yuan on average; in the "
        f"worst {chance(1 - whole['level'])} of periods at least {number(_float(whole['value_at_risk']), 'yuan')}, on "
        f"average {number(_float(whole['shortfall']), 'yuan')}."
    )
    if len(singles) > 1:
        text += f" Most of it by {worst}: {number(_float(tail_of(summary, worst)['mean']), 'yuan')} yuan on average."
    if summary["reserve"]:
        reserve = summary["reserve"]
        text += f" A reserve of {yuan(reserve['reserve'])} is exhausted with a chance of {chance(reserve['chance'])}."
    for budget in summary["budgets"]["within_a_run"]:
        likely, calm = chance(_float(budget["chance"])), chance(_float(budget["calm"]))
        text += f" The budget of {budget['scheme']} runs out within a run with a chance of {likely} ({calm} if calm)."
    return " ".join([text, *(advice(rows) for rows in by_shock(summary["responses"]).values() if len(rows) > 1)])


def show(out: Console, study: Study) -> None:
    """Print the risk matrix, the tail, alarms, responses and the verdict."""
    summary = study.summary
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    out.print(_risks(summary))
    days = f"{summary['period_days']:g} days"
    out.print("Loss of contribution, yuan, with 95% intervals over seeds.", style="dim")
    out.print(f"Expected loss, value at risk (VaR) and shortfall (ES) are of a period of {days}.", style="dim")
    out.print(_responses(summary))
    if summary["alarms"]:
        out.print(_alarms(summary))
    if summary["law"]:
        out.print(f"{len(summary['law'])} facts on law are in report.html and summary.json.", style="dim")
    out.print()
    out.print(summary["verdict"], style="bold", markup=False, soft_wrap=True)


def _table(*headings: str, text: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < text else "right")
    return table


def _risks(summary: Row) -> Table:
    level = summary["tails"][0]["level"]
    table = _table(
        "risk", "chance", "loss of an event", "expected loss", f"VaR {percent(level)}", f"ES {percent(level)}"
    )
    chances = {row["shock"]: row["chance"] for row in summary["risks"]}
    for risk in dict.fromkeys(row["risk"] for row in summary["tails"]):
        tail, found = tail_of(summary, risk), impact_of(summary, risk)
        event = "" if found is None else loss_of(found)
        table.add_row(
            risk, chance(chances[risk]) if risk in chances else "", event, span(tail, "mean", "mean_low", "mean_high"),
            number(_float(tail["value_at_risk"]), "yuan"), number(_float(tail["shortfall"]), "yuan"),
            style="bold" if risk == ALL else "",
        )  # fmt: skip
    return table


def loss_of(impact: Row) -> str:
    """Write what contribution falls by as a loss."""
    turned = {
        "loss": -_float(impact["change"]),
        "low": -_float(impact["change_high"]),
        "high": -_float(impact["change_low"]),
    }
    return span(turned, "loss", "low", "high")


def _responses(summary: Row) -> Table:
    table = _table("risk", "response", "kind", "net loss a period", "saves", text=3)
    for shock, rows in by_shock(summary["responses"]).items():
        best = best_response(rows)
        for row in rows:
            saves = "" if row is rows[0] else span(row, "saves", "saves_low", "saves_high")
            net = span(row, "net_loss", "net_loss_low", "net_loss_high")
            table.add_row(shock if row is rows[0] else "", row["response"], row["kind"], net, saves,
                          style="green" if row is best else "")  # fmt: skip
    return table


def _alarms(summary: Row) -> Table:
    table = _table("risk", "alarm", "false alarms", "fires in", "after days")
    for row in summary["alarms"]:
        alarm = f"{row['signal'].replace('_', ' ')} {row['side']} {number(_float(row['level']), '')} a day"
        calm = f"at most {percent(row['false_alarms'])} of runs"
        table.add_row(named(row), alarm, calm, percent(row["fires"]), f"{_float(row['days']):g}")
    return table


def named(row: Row) -> str:
    """Name a shock with its size, if it has one."""
    return listed([row["shock"]]) + (f" ({row['size']})" if row["size"] else "")


def _yuan(row: Row) -> str:
    """Say what is lost or gained."""
    amount = _float(row["net_loss"])
    return f"loses {yuan(amount)}" if amount >= 0 else f"gains {yuan(-amount)}"


def _is_missing(value: Any) -> bool:
    return value is None or not math.isfinite(value)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
