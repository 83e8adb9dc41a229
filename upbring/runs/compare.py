"""What differs between two runs: settings, data, numbers, contract and environment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from upbring import durable
from upbring.plurals import format_count
from upbring.runs.contract import Contract, differing_aspects
from upbring.runs.dependencies import OWN_SETTINGS
from upbring.runs.json_object import read_json_object
from upbring.runs.metrics import TIME_KEYS, last_record
from upbring.runs.run_folder import Run
from upbring.settings.parse_yaml import ListNode, Node, Scalar, Section, read_yaml

SectionName = Literal["settings", "data", "numbers", "contract", "environment"]
Values = Mapping[str, str]
# entries of environment.json that are numbers of the run
MEASURED: Mapping[str, str] = MappingProxyType(
    {
        "weights": "weights",
        "learned_weights": "trainable weights",
        "peak_memory_bytes": "peak memory",
    }
)


@dataclass(frozen=True)
class RunDifference:
    """One value of two runs; None where a run does not have it."""

    section: SectionName
    name: str
    left: str | None
    right: str | None


def compare_runs(left: Run, right: Run) -> list[RunDifference]:
    """Return what differs, section by section."""
    sections: dict[SectionName, tuple[Values, Values]] = {
        "settings": (read_settings(left), read_settings(right)),
        "data": (_read_data(left), _read_data(right)),
        "numbers": (read_numbers(left), read_numbers(right)),
        "contract": _read_contracts(left, right),
        "environment": (_read_environment(left), _read_environment(right)),
    }
    return [
        RunDifference(section, name, a.get(name), b.get(name))
        for section, (a, b) in sections.items()
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    ]


def read_settings(run: Run) -> dict[str, str]:
    """Return a run's method and settings, as they are written."""
    found = {"method": str(run.read_metadata()["method"])}
    root = read_yaml(run.settings_file) if run.settings_file.is_file() else None
    for section in root.entries.values() if isinstance(root, Section) else ():
        entries = section.value.entries if isinstance(section.value, Section) else {}
        found |= {n: _text(e.value) for n, e in entries.items() if n not in OWN_SETTINGS}
    return found


def _text(node: Node) -> str:
    if isinstance(node, ListNode):
        return ", ".join(map(_text, node.items)) or "none"
    if isinstance(node, Scalar):
        return "unset" if node.is_null else node.text
    return ""


def _read_data(run: Run) -> dict[str, str]:
    """Return the rows and the hash of each data file."""
    rows = read_json_object(run.data_file).get("files")
    return {
        f"{each['purpose']} {each['file']}": f"{format_count(each['rows'], 'row')}, sha256 "
        f"{str(each['sha256'])[:12]}"
        for each in (rows if isinstance(rows, list) else [])
    }


def read_numbers(run: Run) -> dict[str, str]:
    """Return the steps, the duration and the last metrics of a run."""
    metadata = run.read_metadata()
    last = last_record(run.metrics_file)
    found = {
        "status": run.status(),
        "steps": f"{last.step if last else 0} of {metadata['steps'] or 'unknown'}",
    }
    if metadata["finished_at"] is not None:
        start, end = (
            datetime.fromisoformat(str(metadata[each])) for each in ("started_at", "finished_at")
        )
        found["duration"] = f"{(end - start).total_seconds():.0f} s"
    measured = read_json_object(run.environment_file)
    for name, label in MEASURED.items():
        if isinstance(number := measured.get(name), int):
            is_memory = name == "peak_memory_bytes"
            found[label] = durable.format_size(number) if is_memory else f"{number:,}"
    held_out = last_record(run.metrics_file, kind="held_out")
    for kind, record in (("last", last), ("held-out", held_out)):
        values = record.values if record else {}
        found |= {
            f"{kind} {name}": f"{value:.5g}"
            for name, value in values.items()
            if name not in TIME_KEYS
        }
    return found


def _read_contracts(left: Run, right: Run) -> tuple[Values, Values]:
    """Return the aspects in which the contracts differ; a run that just started has none."""
    a, b = ((run.read_contract() if run.contract_file.is_file() else None) for run in (left, right))
    if a is None or b is None:
        return _training_aspects(a), _training_aspects(b)
    pairs = differing_aspects(a, b)
    return (
        {name: pair[0] for name, pair in pairs.items()} | _training_aspects(a),
        {name: pair[1] for name, pair in pairs.items()} | _training_aspects(b),
    )


def _training_aspects(contract: Contract | None) -> dict[str, str]:
    """Return how a model was made, as its contract records it."""
    if contract is None:
        return {}
    stages = [f"{each.method} ({format_count(each.steps, 'step')})" for each in contract.history]
    return {
        "history": ", ".join(stages) or "none",
        "kind": contract.kind,
        "tune": contract.tune,
        "quantization": contract.quantization or "none",
        "offset": f"{contract.offset:.5g}",
    }


def _read_environment(run: Run) -> dict[str, str]:
    """Return the machine and the libraries."""
    values = read_json_object(run.environment_file)
    return dict(_flatten({k: v for k, v in values.items() if k not in MEASURED}))


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}{key}." if isinstance(inner, Mapping) else key)
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value)) or "none"
    else:
        yield prefix, str(value)
