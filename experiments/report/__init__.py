"""The report of a finished run, comparison or study: one HTML file that needs nothing else.

Read in this order: ``folder`` (what is read back), ``tables`` and ``facts`` (what is said in words and numbers),
``drawing`` (how figures look) and the ``figures_`` modules, then :func:`render`, which fills ``template.html.j2``.
Studies of plans have ``studies`` and a module for each kind, which fill ``study.html.j2``.

Everything that came from a file is escaped: in the template by jinja2, in figures by matplotlib. The same folder gives
the same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from experiments.files import read_json, write_text


def render(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run, a comparison or a study.

    Parameters
    ----------
    folder : Path
        As :mod:`experiments.runs` or :mod:`experiments.plans.study` writes it.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    ScenarioFileError
        If a file of it is missing or damaged.
    """
    from experiments.plans.plan import KINDS

    kind = read_json(folder / "manifest.json", "kind")["kind"]
    if kind in KINDS:
        from experiments.plans.study import Study
        from experiments.report.studies import study_contents

        return _fill(folder, "study.html.j2", study_contents(Study.load(folder)))
    from experiments.report.contents import contents
    from experiments.report.folder import read

    return _fill(folder, "template.html.j2", contents(read(folder)))


def _fill(folder: Path, template: str, values: dict[str, Any]) -> Path:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own = files("experiments.report")
    page = environment.from_string((own / template).read_text(encoding="utf-8"))
    style = Markup((own / "style.css").read_text(encoding="utf-8"))
    report = folder / "report.html"
    write_text(report, page.render(style=style, **values))
    return report
