"""Sealed folders: a manifest holds the SHA-256 of every other file and of itself, so that any change is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def file_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder but the manifest, by name."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    return {file.relative_to(folder).as_posix(): _sum(file) for file in files}


def checksum(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own checksum."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_whole(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a folder and its manifest are as they were written."""
    return manifest.get("checksum") == checksum(manifest) and manifest.get("files") == file_sums(folder)


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
