"""Plug-ins as the documentation prints them, installed in a folder for whoever has it on their path."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def printed(page: str, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def install(page: str, folder: Path, module: str, scenario: str) -> Path:
    """Install what a page prints: a module and its tests, its metadata, and a scenario file."""
    code, tests = printed(page, "python")
    (metadata,), (text,) = printed(page, "toml"), printed(page, "yaml")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    (folder / f"test_{module}.py").write_text(tests, encoding="utf-8")
    (folder / scenario).write_text(text, encoding="utf-8")
    project = tomllib.loads(metadata)["project"]
    installed = folder / f"{module}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (installed / "entry_points.txt").write_text("".join(points))
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the plug-in is installed."""
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def shopsim(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where the plug-in is installed."""
    return python(folder, "-c", "from experiments.cli import app; app()", *arguments)
