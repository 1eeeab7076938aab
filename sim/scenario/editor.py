"""The JSON Schema of scenario files, for editors (``shopsim schema``)."""

from __future__ import annotations

from typing import Any

from sim.scenario.schema import ScenarioConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file, draft 2020-12.

    A file may leave any key to the file that it extends, so only ``kind``, which decides what the other keys of a
    mapping mean, is required.
    """
    schema = ScenarioConfig.model_json_schema()
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "File or files that say everything this one does not, relative to this one.",
    }
    for section in (schema, *schema.get("$defs", {}).values()):
        required = [key for key in section.pop("required", []) if key == "kind"]
        if required:
            section["required"] = required
    return {"$schema": DIALECT, "title": "shopsim scenario", **{key: schema[key] for key in schema if key != "title"}}
