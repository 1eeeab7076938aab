"""Print ``docs/metrics.md``: ``python -m sim.metrics``."""

from __future__ import annotations

from sim.metrics import METRICS


def document() -> str:
    """Return ``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Generated from `sim/metrics` by `python -m sim.metrics`; do not edit. Real people only, unless a formula "
        "says otherwise; what schemes report of themselves counts fake accounts too: teams that rings fill, coupons "
        "that they use.",
        "Money is in yuan. A metric without enough data is reported as n/a.",
    ]
    arrows = {1: "more is better", -1: "less is better", 0: "neither"}
    for group in ("growth", "retention", "money", "schemes", "fraud", "fairness", "service"):
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| metric | unit | direction | formula |",
            "| --- | --- | --- | --- |",
        ]
        chosen = (m for m in METRICS.values() if m.group == group)
        lines += [f"| `{m.name}` | {m.unit} | {arrows[m.direction]} | {m.formula} |" for m in chosen]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
