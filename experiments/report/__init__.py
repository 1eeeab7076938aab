"""The report of a finished run or comparison: one HTML file that needs nothing else.

Read in this order: ``folder`` (what is read back), ``tables`` and ``facts`` (what is said in words and numbers),
``drawing`` (how figures look) and the ``figures_`` modules, then :func:`render`, which fills ``template.html.j2``.

Everything that came from a file is escaped: in the template by jinja2, in figures by matplotlib. The same folder gives
the same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from experiments.files import write_text


def render(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run or a comparison.

    Parameters
    ----------
    folder : Path
        As :mod:`experiments.runs` writes it.

    Returns
    -------
    Path
        Of the report.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from experiments.report.contents import contents
    from experiments.report.folder import read

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own = files("experiments.report")
    template = environment.from_string((own / "template.html.j2").read_text(encoding="utf-8"))
    style = Markup((own / "style.css").read_text(encoding="utf-8"))
    report = folder / "report.html"
    write_text(report, template.render(style=style, **contents(read(folder))))
    return report
