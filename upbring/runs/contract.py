"""The contract of a model: its tokenizer, chat template, special tokens and training history.

Each stage writes a contract next to its model. The next stage checks it before its first step.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from upbring import durable
from upbring.errors import InputError, format_value

FORMAT = 1

ModelKind = Literal["base", "sft", "reward", "value", "policy"]
Aspect = Literal["base", "tokenizer", "template", "stops", "bos", "eos"]

CHAT_ASPECTS: tuple[Aspect, ...] = ("tokenizer", "template", "stops", "bos", "eos")


@dataclass(frozen=True)
class StopToken:
    """A token that ends the assistant turn: its id and its text."""

    token: int
    text: str


@dataclass(frozen=True)
class TrainingFile:
    """A file that the model was trained on."""

    file: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class TrainingStage:
    """One stage of the training history."""

    method: str
    data: tuple[TrainingFile, ...]
    settings_sha256: str
    steps: int


@dataclass(frozen=True)
class Contract:
    """How a model was trained, and how it must be prompted."""

    base: str
    base_sha256: str
    tokenizer: str
    template: str | None
    stops: tuple[StopToken, ...]
    bos: int | None
    eos: int | None
    kind: ModelKind
    tune: Literal["lora", "full"]
    history: tuple[TrainingStage, ...] = ()
    # Subtracted from a reward model's scores, so that good responses have a mean score of 0.
    offset: float = 0.0
    # How the base was quantized while its adapter was trained.
    quantization: Literal["nf4", "int8"] | None = None
    format: int = field(default=FORMAT)


_CONTRACT = TypeAdapter(Contract)


def write_contract(path: Path, contract: Contract) -> None:
    """Save a contract as JSON."""
    durable.write_json(path, _CONTRACT.dump_python(contract, mode="json"))


def read_contract(path: Path) -> Contract:
    """Return the contract that was saved at `path`."""
    try:
        with durable.explain_os_errors(path):
            contract = _CONTRACT.validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = f"{location}: {first['msg']}, not {format_value(first['input'])}"
        raise InputError(f"{path}: {problem}; use a contract.json that upbring wrote") from error
    if contract.format > FORMAT:
        raise InputError(
            f"{path}: has format {contract.format}, but this version of upbring reads formats "
            f"up to {FORMAT}; install a newer version"
        )
    return contract


def describe_differences(
    contract: Contract,
    other: Contract,
    *,
    names: tuple[str, str] = ("this model", "the other"),
    aspects: tuple[Aspect, ...] = CHAT_ASPECTS,
) -> list[str]:
    """Return one line per aspect in which two contracts differ, with both values."""
    differing = differing_aspects(contract, other, aspects=aspects)
    return [
        f"{aspect}: {names[0]} has {left}, {names[1]} has {right}"
        for aspect, (left, right) in differing.items()
    ]


def differing_aspects(
    contract: Contract, other: Contract, *, aspects: tuple[Aspect, ...] = ("base", *CHAT_ASPECTS)
) -> dict[Aspect, tuple[str, str]]:
    """Return both values of each aspect in which two contracts differ."""
    return {
        aspect: _format_both(contract, other, aspect=aspect)
        for aspect in aspects
        if _comparable_value(contract, aspect) != _comparable_value(other, aspect)
    }


def _comparable_value(contract: Contract, aspect: Aspect) -> object:
    """Return the value to compare; bases are equal if their hashes are, whatever their path."""
    return contract.base_sha256 if aspect == "base" else getattr(contract, aspect)


def _format_both(contract: Contract, other: Contract, *, aspect: Aspect) -> tuple[str, str]:
    if aspect == "template" and contract.template and other.template:
        return _first_difference(contract.template, other.template)
    return _format_aspect(contract, aspect), _format_aspect(other, aspect)


def _format_aspect(contract: Contract, aspect: Aspect) -> str:
    if aspect == "base":
        return f"{contract.base} ({contract.base_sha256[:12]})"
    if aspect == "tokenizer":
        return contract.tokenizer[:12]
    if aspect == "stops":
        return ", ".join(f"{stop.text!r} ({stop.token})" for stop in contract.stops) or "none"
    value = getattr(contract, aspect)
    return "none" if value is None else format_value(value)


def _first_difference(left: str, right: str) -> tuple[str, str]:
    pairs = enumerate(zip(left, right, strict=False))
    index = next((index for index, (a, b) in pairs if a != b), min(len(left), len(right)))
    start = max(0, index - 10)

    def excerpt(text: str) -> str:
        return f"{format_value(text[start : start + 40])} at character {start}"

    return excerpt(left), excerpt(right)
