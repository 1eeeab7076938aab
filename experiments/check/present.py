"""What a check found, for people and machines: a table, Markdown for a pull request, JUnit XML for a CI server."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

from rich.console import Console
from rich.table import Table
from rich.text import Text

import sim
from experiments.check.checking import Outcome, State
from experiments.check.decide import Finding
from experiments.tables import short
from experiments.wording import listed, number, percent

MARKS = {
    "equal": ("=", "dim"),
    "equivalent": ("≈", "green"),
    "changed": ("✗", "red"),
    "undecided": ("?", "yellow"),
    "failed": ("✗", "red"),
}
SIGNS = {"equivalent": "✅", "undecided": "❔", "changed": "❌"}
HEADERS = ("metric", "baseline", "now", "difference", "interval", "tolerance", "verdict")


def row(finding: Finding) -> tuple[str, ...]:
    """Return one metric as the texts of a table's columns, in the order of `HEADERS`."""
    return (
        finding.metric,
        number(finding.baseline, finding.unit),
        number(finding.now, finding.unit),
        _difference(finding),
        _interval(finding),
        f"± {_amount(finding.tolerance, finding.unit)}",
        verdict(finding),
    )


def verdict(finding: Finding) -> str:
    """Say a verdict, and what a reader should know beside it."""
    text: str = finding.verdict
    if finding.verdict == "undecided":
        many = f"about {finding.needed:,} replicates" if finding.needed else "more replicates than are worth running"
        text += f": needs {many}" if finding.needed or not finding.note else ""
    return f"{text} ({finding.note})" if finding.note else text


def headline(outcome: Outcome) -> str:
    """Say in a sentence what became of one baseline."""
    if outcome.failures:
        return f"{len(outcome.failures)} of {len(outcome.failures) + len(outcome.runs)} runs failed"
    counts = {verdict: len(outcome.those(verdict)) for verdict in ("changed", "undecided", "equivalent", "equal")}
    if counts["equal"] == len(outcome.findings):
        return f"all {counts['equal']} metrics are equal"
    return listed([f"{count} {verdict}" for verdict, count in counts.items() if count]) + " metrics"


def conclusion(outcomes: Sequence[Outcome], *, strict: bool) -> tuple[State, str]:
    """Return ``equivalent`` if all baselines hold, ``changed`` if one fails, else ``undecided``; and say so."""
    passed = sum(outcome.passes(strict=strict) for outcome in outcomes)
    holding = f"{passed} of {len(outcomes)} baselines hold"
    undecided = sum(len(outcome.those("undecided")) for outcome in outcomes)
    if any(outcome.state in ("changed", "failed") for outcome in outcomes) or not undecided:
        return ("equivalent" if passed == len(outcomes) else "changed"), holding
    text = f"no metric shown to have changed; {undecided} undecided"
    return ("changed", f"{holding}: {text}") if strict else ("undecided", text)


def _edited(version: str) -> str:
    """Say what differs from the baseline, beside the metrics."""
    if version == sim.__version__:
        return "The scenario is not that of the baseline; the version of shopsim is."
    text = f"The baseline is of shopsim {version}, and this is {sim.__version__}; "
    return text + "as a scenario's digest holds the version, it does not tell whether the scenario differs too."


def remarks(outcome: Outcome) -> list[str]:
    """Say how the baseline was checked, and what the verdicts mean."""
    content, seeds = outcome.baseline.content, [run.seed for run in outcome.runs]
    found = []
    if outcome.scenario_edited:
        found.append(_edited(content.version))
    if seeds:
        same = "the seeds of the baseline" if outcome.paired else "other seeds than the baseline's"
        test = "paired" if outcome.paired else "Welch's"
        found.append(f"{len(seeds)} replicates with {same}: {test} t tests.")
    if outcome.those("changed", "undecided", "equivalent"):
        tested = len(outcome.findings) - len(outcome.those("equal"))
        sure = f"Intervals are of {percent(content.confidence)}, each for its metric alone. If nothing had changed, "
        sure += f"any of these {tested} would be called changed with a probability of at most "
        sure += f"{percent(1 - content.confidence)} (Holm)."
        found.append(sure)
    if outcome.unlisted:
        found.append(f"{outcome.unlisted} further metrics of these runs are not in the baseline.")
    return found


def print_outcome(out: Console, outcome: Outcome) -> None:
    """Print every metric that is not equal, and how many are."""
    mark, style = MARKS[outcome.state]
    title = Text(f"{mark} {outcome.baseline.name}: ", style=f"bold {style}") + Text(headline(outcome))
    out.print(title, soft_wrap=True)
    moved = outcome.those("changed", "undecided", "equivalent")
    if moved:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in HEADERS:
            table.add_column(header, justify="left" if header in ("metric", "verdict") else "right")
        for finding in sorted(moved, key=lambda finding: ("changed", "undecided", "equivalent").index(finding.verdict)):
            table.add_row(*map(Text, row(finding)), style=MARKS[finding.verdict][1])
        out.print(table)
    if moved or outcome.scenario_edited:
        for remark in remarks(outcome):
            out.print(Text(remark, style="dim"), soft_wrap=True)


def print_end(
    out: Console, outcomes: Sequence[Outcome], *, strict: bool, updated: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Print the sum of it, and which baselines were rewritten."""
    for change in updated:
        moved = len(change["moved"])
        done = f"rewritten, {moved} metrics moved" if change["rewritten"] else "as it was"
        out.print(f"{change['baseline']}: {done}", soft_wrap=True, markup=False)
    if not updated:
        state, text = conclusion(outcomes, strict=strict)
        mark, style = MARKS[state]
        out.print(Text(f"{mark} {text}", style=f"bold {style}"), soft_wrap=True)


def markdown(outcomes: Sequence[Outcome], *, strict: bool) -> str:
    """Return a comment for a pull request: what moved, with the rest folded away."""
    state, text = conclusion(outcomes, strict=strict)
    parts = [f"### {SIGNS[state]} shopsim check: {text}\n"]
    for outcome in outcomes:
        parts.append(f"**{_escaped(outcome.baseline.name)}**: {headline(outcome)}.\n")
        parts += [f"- seed {failure.seed}: `{_code(failure.reason)}`\n" for failure in outcome.failures]
        if loud := outcome.those("changed", "undecided"):
            parts.append(_markdown_table(loud))
        if quiet := outcome.those("equivalent"):
            fold = f"<details><summary>{len(quiet)} equivalent within their tolerance</summary>\n"
            parts.append(f"{fold}\n{_markdown_table(quiet)}\n</details>\n")
        if outcome.state != "equal" or outcome.scenario_edited:
            parts += [f"<sub>{_escaped(' '.join(remarks(outcome)))}</sub>\n"]
    return "\n".join(parts)


def junit(outcomes: Sequence[Outcome], *, strict: bool) -> str:
    """Return JUnit XML: a suite for each baseline, a case for each metric.

    A changed metric is a failure; an undecided one is skipped, or if `strict` a failure; a run that failed is an error.
    """
    root = Xml.Element("testsuites", name="shopsim check")
    for outcome in outcomes:
        suite = Xml.SubElement(root, "testsuite", name=_xml(outcome.baseline.name))
        for finding in outcome.findings:
            case = Xml.SubElement(suite, "testcase", classname=_xml(outcome.baseline.name), name=_xml(finding.metric))
            if finding.verdict == "changed" or (finding.verdict == "undecided" and strict):
                Xml.SubElement(case, "failure", message=_xml(sentence(finding)), type=finding.verdict)
            elif finding.verdict == "undecided":
                Xml.SubElement(case, "skipped", message=_xml(sentence(finding)))
        for failure in outcome.failures:
            case = Xml.SubElement(suite, "testcase", classname=_xml(outcome.baseline.name), name=f"seed {failure.seed}")
            Xml.SubElement(case, "error", message=_xml(failure.reason)).text = _xml(failure.traceback)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))
        suite.set("tests", str(len(suite.findall("testcase"))))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def sentence(finding: Finding) -> str:
    """Say one metric in a sentence, for logs and test failures."""
    _, before, now, difference, interval, tolerance, said = row(finding)
    limits = f" ({interval})" if interval else ""
    return (
        f"{finding.metric}: {before} before, {now} now, difference {difference}{limits}, tolerance {tolerance}: {said}"
    )


def plain(outcome: Outcome) -> str:
    """Say one baseline in lines of plain text, for a failing test."""
    lines = [f"{outcome.baseline.file}: {headline(outcome)}"]
    lines += [f"  {sentence(finding)}" for finding in outcome.those("changed", "undecided")]
    lines += [f"  seed {failure.seed}: {failure.reason}" for failure in outcome.failures]
    return "\n".join([*lines, *remarks(outcome)])


def _amount(value: float, unit: str, *, signed: bool = False) -> str:
    """Write a difference: in points where the metric is a share."""
    sign = "+" if signed and value > 0 else ""
    if unit == "share":
        return f"{sign}{100 * value:.2g} pt"
    return f"{sign}{value:.2g}" if abs(value) < 0.1 else f"{sign}{short(value)}"


def _difference(finding: Finding) -> str:
    if not math.isfinite(finding.difference):
        return ""
    text = _amount(finding.difference, finding.unit, signed=True)
    relative = finding.difference / abs(finding.baseline) if finding.baseline else math.nan
    return f"{text} ({percent(relative, signed=True)})" if math.isfinite(relative) and finding.unit != "share" else text


def _interval(finding: Finding) -> str:
    if not (math.isfinite(finding.low) and math.isfinite(finding.high)):
        return ""
    return f"{_amount(finding.low, finding.unit)} to {_amount(finding.high, finding.unit)}"


def _markdown_table(findings: Sequence[Finding]) -> str:
    lines = [f"| {' | '.join(HEADERS)} |", "| :-- " + "| --: " * (len(HEADERS) - 2) + "| :-- |"]
    lines += [f"| {' | '.join(map(_escaped, row(finding)))} |" for finding in findings]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Make text harmless in Markdown: no markup, no HTML, no further columns."""
    return re.sub(r"([\\`*_{}\[\]<>()#|~])", r"\\\1", re.sub(r"\s+", " ", text))


def _code(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("`", "'")


def _xml(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(letter for letter in text if letter in "\t\n" or (letter.isprintable() and ord(letter) < 0xFFFE))
