"""What a stress study says on a terminal, and its verdict in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.plans.stress_chances import limits_text, seen_text
from experiments.plans.stress_tails import ALL
from experiments.plans.study import Study
from experiments.wording import listed, number, percent, yuan

LOSS = "contribution"
THIN = "*"
"""Marks what rests on too few runs."""
Row = Mapping[str, Any]


def chance(share: float) -> str:
    """Write a probability as short as it can be told."""
    if not math.isfinite(share):
        return "n/a"
    return f"{100 * share:.2g}%" if share < 0.0995 else percent(share)


def span(row: Row, name: str, low: str, high: str) -> str:
    """Write an amount of yuan with its interval, if it has one."""
    value, lower, upper = (_float(row.get(key)) for key in (name, low, high))
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
    if rows[0].get("changes_nothing"):
        return f"{shock}: it changed nothing at all in this scenario, so there is nothing to respond to."
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
    """Name the response that lowers the shortfall most, if it is not the best on average and lowers it by a tenth.

    Nothing is said if what it costs on average is so uncertain that it may be more than that shortfall.
    """
    tame = min(rows, key=lambda row: math.inf if _is_missing(row["shortfall"]) else row["shortfall"])
    before, after = _float(best["shortfall"]), _float(tame["shortfall"])
    if tame is best or not after < 0.9 * before or _float(tame.get("net_loss_high")) >= before:
        return ""
    return (
        f" In the worst periods {tame['response']}, dearer on average, loses less: {number(after, 'yuan')} yuan on "
        f"average, where {'accepting' if best is rows[0] else best['response']} loses {number(before, 'yuan')}."
    )


def by_shock(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return responses by shock, in their order; accept comes first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["shock"], []).append(row)
    return found


def thin_text(row: Row, of: str) -> str:
    """Say that a tail rests on too few runs and how many it needs; nothing if it does not."""
    runs, needed = int(row["runs"]), int(row["runs_needed"])
    if runs >= needed:
        return ""
    return f"{of} on the worst of {runs} {'run' if runs == 1 else 'runs'}: at least {needed} are needed to tell"


def is_thin(row: Row) -> bool:
    """Whether a tail rests on too few runs."""
    return bool(thin_text(row, ""))


def budget_text(row: Row) -> str:
    """Say how likely a budget runs out within a run: how often it did, and what so few runs leave open."""
    calm = seen_text(_float(row["calm"]), _float(row["calm_low"]), _float(row["calm_high"]), row["runs"])
    if row["chance"] == row["calm"] == 0:
        return f"The budget of {row['scheme']} ran out {calm}, with or without shocks."
    likely, limits = chance(_float(row["chance"])), limits_text(_float(row["low"]), _float(row["high"]))
    return (
        f"The budget of {row['scheme']} runs out within a run with a chance of {likely} (with 95% confidence "
        f"{limits}); without shocks it did {calm}."
    )


def alarms_text(summary: Row) -> str:
    """Say how many alarms were tried, and how many give warning more often than chance does."""
    tried, found, seeds = summary["alarms_tried"], summary["alarms_proven"], len(summary.get("seeds", ()))
    if not tried:
        return "No alarm was tried, as no shock was run."
    told = f"of {tried} tried (every signal for every shock and size; exact tests at 5%, corrected by Holm)"
    if found:
        return f"{found} {'alarm gives' if found == 1 else 'alarms give'} warning more often than by chance, {told}."
    text = f"No alarm gives warning more often than by chance, {told}."
    need = summary["alarms_need"]
    return text if seeds >= need else f"{text} Not even one in every run would show: that takes {need} seeds."


def verdict(summary: Row) -> str:
    """Say which risk weighs most, how bad the worst periods are, and in a word what to do about each risk."""
    answered = {shock: rows for shock, rows in by_shock(summary["responses"]).items() if is_answered(rows)}
    told = "; ".join(f"{shock}: {in_a_word(rows)}" for shock, rows in answered.items())
    return " ".join([*losses_parts(summary), *([f"What to do: {told}."] if told else [])])


def in_a_word(rows: Sequence[Row]) -> str:
    """Name the best response to a risk, and say if it is not settled that it saves anything."""
    best = best_response(rows)
    if rows[0]["changes_nothing"]:
        return "nothing, it changed nothing"
    doubt = "" if best is rows[0] or _float(best["saves_low"]) > 0 else " (not settled)"
    return f"{best['response']}{doubt}"


def is_answered(rows: Sequence[Row]) -> bool:
    """Whether there is something to say of what to do about a risk."""
    return len(rows) > 1 or bool(rows[0]["changes_nothing"])


def verdict_parts(summary: Row) -> list[str]:
    """Return the verdict as paragraphs: losses, reserve and budgets, and what to do about each risk."""
    told = [advice(rows) for rows in by_shock(summary["responses"]).values() if is_answered(rows)]
    return [*losses_parts(summary), *told]


def losses_parts(summary: Row) -> list[str]:
    """Say in two paragraphs what is lost, and how likely reserve and budgets are exhausted."""
    singles = [row["risk"] for row in summary["tails"] if row["risk"] != ALL]
    singles = list(dict.fromkeys(singles))
    worst = max(singles, key=lambda risk: _float(tail_of(summary, risk)["mean"]))
    days = f"{summary['period_days']:g} days"
    whole = tail_of(summary, ALL)
    text = (
        f"Over {days} the risks together lose {span(whole, 'mean', 'mean_low', 'mean_high')} yuan on average; in the "
        f"worst {chance(1 - whole['level'])} of periods at least {number(_float(whole['value_at_risk']), 'yuan')}, on "
        f"average {number(_float(whole['shortfall']), 'yuan')}{_but(thin_text(whole, 'resting'))}."
    )
    if len(singles) > 1:
        part = number(_float(tail_of(summary, worst)["mean"]), "yuan")
        text += f" The largest part is lost to {worst}: {part} yuan on average."
    money = [reserve_text(summary["reserve"])] if summary["reserve"] else []
    money += [budget_text(budget) for budget in summary["budgets"]["within_a_run"]]
    return [text, *([" ".join(money)] if money else [])]


def reserve_text(reserve: Row) -> str:
    """Say how likely what is set aside is exhausted."""
    low, high = _float(reserve["low"]), _float(reserve["high"])
    limits = f" (95% interval {chance(low)} to {chance(high)})" if math.isfinite(low) else ""
    return (
        f"A reserve of {yuan(reserve['reserve'])} is exhausted with a chance of {chance(reserve['chance'])}{limits}"
        f"{_but(thin_text(reserve, 'resting'))}."
    )


def _but(remark: str) -> str:
    return f", {remark}" if remark else ""


def show(out: Console, study: Study) -> None:
    """Print the risk matrix, the tail, alarms, responses and the verdict."""
    summary = study.summary
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    out.print(_risks(summary))
    days = f"{summary['period_days']:g} days"
    out.print("Loss of contribution, yuan, with 95% intervals over seeds.", style="dim")
    worst = chance(1 - summary["tails"][0]["level"])
    out.print(
        f"Chance, expected loss, value at risk (VaR: the worst {worst} of periods lose at least so much) and shortfall "
        f"(ES: their mean) are of {days}.",
        style="dim",
    )
    for text in thin_notes(summary):
        out.print(text, style="yellow")
    out.print()
    if answered := answered_shocks(summary):
        out.print(_responses(answered))
        out.print()
    if summary["alarms"]:
        out.print(_alarms(summary))
    out.print(alarms_text(summary), style="dim")
    if summary["law"]:
        out.print(f"{len(summary['law'])} facts on law are in report.html and summary.json.", style="dim")
    for paragraph in verdict_parts(summary):
        out.print()
        out.print(paragraph, style="bold", markup=False, soft_wrap=True)


def thin_notes(summary: Row) -> list[str]:
    """Say which values at risk rest on too few runs."""
    level = summary["tails"][0]["level"]
    thin = [row for row in summary["tails"] if row["level"] == level and is_thin(row)]
    if not thin:
        return []
    needs = listed([f"{row['runs_needed']} for {row['risk']}" for row in thin])
    runs = max(int(row["runs"]) for row in thin)
    return [
        f"{THIN} Too few runs for such a tail: what is shown is little more than the worst of {runs}, and has no "
        f"interval. Needed are at least {needs} (key replicates of the plan)."
    ]


def answered_shocks(summary: Row) -> dict[str, list[Row]]:
    """Return the responses to each shock that has any besides accepting it, and changes something."""
    grouped = by_shock(summary["responses"])
    return {shock: rows for shock, rows in grouped.items() if len(rows) > 1 and not rows[0]["changes_nothing"]}


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
        tail, mark = tail_of(summary, risk), THIN if is_thin(tail_of(summary, risk)) else ""
        table.add_row(
            risk, chance(chances[risk]) if risk in chances else "", event_text(summary, risk),
            span(tail, "mean", "mean_low", "mean_high"), number(_float(tail["value_at_risk"]), "yuan") + mark,
            number(_float(tail["shortfall"]), "yuan") + mark, style="bold" if risk == ALL else "",
        )  # fmt: skip
    return table


def event_text(summary: Row, risk: str) -> str:
    """Write what one event costs; nothing for all risks together."""
    if risk == ALL:
        return ""
    if next(row["changes_nothing"] for row in summary["risks"] if row["shock"] == risk):
        return "changes nothing"
    found = impact_of(summary, risk)
    return "a stated law" if found is None else loss_of(found)


def loss_of(impact: Row) -> str:
    """Write what contribution falls by as a loss."""
    turned = {
        "loss": -_float(impact["change"]),
        "low": -_float(impact["change_high"]),
        "high": -_float(impact["change_low"]),
    }
    return span(turned, "loss", "low", "high")


def _responses(answered: Mapping[str, Sequence[Row]]) -> Table:
    table = _table("risk", "response", "kind", "net loss a period", "saves", text=3)
    for shock, rows in answered.items():
        best = best_response(rows)
        for row in rows:
            saves = "" if row is rows[0] else span(row, "saves", "saves_low", "saves_high")
            net = span(row, "net_loss", "net_loss_low", "net_loss_high")
            table.add_row(shock if row is rows[0] else "", row["response"], row["kind"], net, saves,
                          style="green" if row is best else "")  # fmt: skip
    return table


def _alarms(summary: Row) -> Table:
    table = _table("risk", "alarm", "in calm runs", "in struck runs", "after days", text=2)
    for row in summary["alarms"]:
        calm = f"at most {percent(row['false_alarms'])}"
        table.add_row(named(row), alarm_text(row), calm, fires_text(row), f"{_float(row['days']):g}")
    return table


def alarm_text(row: Row) -> str:
    """Write an alarm: its signal and its level."""
    level = number(_float(row["level"]), "").removesuffix(".00")
    return f"{row['signal'].replace('_', ' ')} {row['side']} {level} a day"


def fires_text(row: Row) -> str:
    """Write in which share of struck runs an alarm is given, with its exact interval."""
    return f"{percent(row['fires'])} ({limits_text(_float(row['fires_low']), _float(row['fires_high']))})"


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
