"""The figures of a data file: who labeled its rows, and how well. They travel beside the file.

    pairs.jsonl                 pairs.results.json           `upbring label export`
    constitution/comparisons    constitution/results.json    listed in the same manifest

A training run copies them into its `data.json`, from where the report and the model card have them.
The first kind has a hash of the data and of itself; the second is verified by the manifest.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.runs.results import RESULTS, EvalResult, read_results

SUFFIX = ".results.json"
VOTES = "votes"  # suite of the figures of people's votes
CONSENSUS = "each row is the consensus of several votes"  # note of these figures
_RESULTS = TypeAdapter(tuple[EvalResult, ...])


def results_path(data: Path) -> Path:
    """Return the file with the figures of a data file.

    >>> results_path(Path("data/pairs.jsonl")).as_posix()
    'data/pairs.results.json'
    """
    return data.with_name(data.stem + SUFFIX)


def write_source_results(data: Path, results: Sequence[EvalResult]) -> Path:
    """Write the figures of a data file beside it."""
    rows: list[JSON] = [asdict(each) for each in results]
    content: dict[str, JSON] = {"sha256": durable.sha256_file(data), "results": rows}
    path = results_path(data)
    durable.write_json(path, {**content, "seal": _seal(content)})
    return path


def read_source_results(
    data: Path, sha256: str, *, log: Callable[[str], None]
) -> tuple[EvalResult, ...]:
    """Return the figures of a data file whose hash is known; empty if there are none."""
    path = results_path(data)
    if path.is_file():
        content = _read_sealed(path)
        if content["sha256"] != sha256:
            log(f"{path}: is about another content of {data.name}; its figures are left out")
            return ()
        return parse_results(content["results"])
    is_sealed_together = {data.name, RESULTS} <= durable.listed_names(data.parent)
    return tuple(read_results(data.parent)) if is_sealed_together else ()


def parse_results(rows: object) -> tuple[EvalResult, ...]:
    """Return results from JSON."""
    return _RESULTS.validate_json(json.dumps(rows))


def _read_sealed(path: Path) -> dict[str, Any]:
    """Return the content of a file of figures, verified."""
    with durable.explain_os_errors(path):
        data = path.read_bytes()
    try:
        content = json.loads(data)
        seal = content.pop("seal")
        is_intact = seal == _seal(content)
        parse_results(content["results"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ValidationError):
        is_intact = False
    if not is_intact:
        raise InputError(
            f"{path}: differs from what was written; make it again with `upbring label export`, or "
            "delete it, and the rows are used without their figures"
        )
    found: dict[str, Any] = content
    return found


def _seal(content: JSON) -> str:
    return hashlib.sha256(durable.json_bytes(content)).hexdigest()
