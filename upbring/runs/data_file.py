"""A data file of a run, as `data.json` has it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from upbring.durable import JSON
from upbring.runs.environment import redact_home
from upbring.runs.results import EvalResult
from upbring.runs.source_results import parse_results


@dataclass(frozen=True)
class DataFile:
    """A data file that a run was trained or evaluated on."""

    file: str
    sha256: str
    rows: int
    format: str
    purpose: Literal["train", "held_out"] = "train"
    notes: tuple[str, ...] = ()  # what happened to its rows: how many were dropped or truncated
    results: tuple[EvalResult, ...] = ()  # who labeled its rows, and how well


def data_file_to_json(file: DataFile) -> dict[str, JSON]:
    """Return a data file as JSON, without the user's home folder in any text."""
    found: dict[str, JSON] = json.loads(redact_home(json.dumps(asdict(file), ensure_ascii=False)))
    return found


def read_data_file(row: Mapping[str, JSON]) -> DataFile:
    """Return a data file from JSON; only its name, hash and number of rows are required."""
    notes = row.get("notes")
    return DataFile(
        str(row["file"]),
        str(row["sha256"]),
        int(str(row["rows"])),
        str(row.get("format", "?")),
        "held_out" if row.get("purpose") == "held_out" else "train",
        tuple(map(str, notes)) if isinstance(notes, list) else (),
        parse_results(row.get("results") or []),
    )
