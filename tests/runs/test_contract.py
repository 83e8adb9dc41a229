"""A contract is read back unchanged, and a difference names both values."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.contract import (
    Contract,
    StopToken,
    TrainingFile,
    TrainingStage,
    describe_differences,
    read_contract,
    write_contract,
)

CONTRACT = Contract(
    base="models/seed",
    base_sha256="ab" * 32,
    tokenizer="cd" * 32,
    template="{% for message in messages %}<|{{ message.role }}|>{% endfor %}",
    stops=(StopToken(2, "</s>"), StopToken(7, "<|end|>")),
    bos=1,
    eos=2,
    kind="sft",
    tune="lora",
    history=(TrainingStage("sft", (TrainingFile("chat.jsonl", "ef" * 32, 10),), "01" * 32, 300),),
)


def test_a_contract_survives_being_saved(tmp_path: Path) -> None:
    for contract in (CONTRACT, replace(CONTRACT, template=None, bos=None, stops=(), history=())):
        write_contract(tmp_path / "contract.json", contract)
        assert read_contract(tmp_path / "contract.json") == contract


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "zebra"}, "kind: Input should be 'base', 'sft', .*, not 'zebra'; use a contract"),
        ({"bos": "1"}, "bos: Input should be a valid integer, not '1'"),
        ({"format": 2}, "has format 2, but this version of upbring reads formats up to 1; install"),
    ],
)
def test_an_invalid_contract_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "contract.json"
    write_contract(path, CONTRACT)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=rf"contract.json: {message}"):
        read_contract(path)


def test_a_missing_or_incomplete_contract_is_named(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    with pytest.raises(InputError, match=r"contract.json: No such file or directory; restore it"):
        read_contract(path)
    path.write_text('{"base": ')
    with pytest.raises(InputError, match=r"contract.json: the file: Invalid JSON"):
        read_contract(path)


def test_equal_contracts_do_not_differ_wherever_the_base_lies() -> None:
    moved = replace(CONTRACT, base="elsewhere/seed")
    assert (
        describe_differences(CONTRACT, moved, aspects=("base", "tokenizer", "template", "stops"))
        == []
    )


def test_each_difference_names_both_sides() -> None:
    theirs = replace(
        CONTRACT, base="models/tree", base_sha256="99" * 32, tokenizer="ee" * 32, template=None,
        stops=(), bos=None, eos=9,
    )  # fmt: skip
    found = describe_differences(
        CONTRACT,
        theirs,
        names=("sft-1", "reward-1"),
        aspects=("base", "tokenizer", "template", "stops", "bos", "eos"),
    )
    assert found[0] == (
        "base: sft-1 has models/seed (abababababab), reward-1 has models/tree (999999999999)"
    )
    assert found[1] == "tokenizer: sft-1 has cdcdcdcdcdcd, reward-1 has eeeeeeeeeeee"
    assert found[2].startswith("template: sft-1 has '{% for message in")
    assert found[2].endswith(", reward-1 has none")
    assert found[3] == "stops: sft-1 has '</s>' (2), '<|end|>' (7), reward-1 has none"
    assert found[4:] == ["bos: sft-1 has 1, reward-1 has none", "eos: sft-1 has 2, reward-1 has 9"]


def test_templates_are_shown_at_their_first_difference() -> None:
    left = replace(CONTRACT, template="a" * 100 + "X")
    right = replace(CONTRACT, template="a" * 100 + "YZ")
    (line,) = describe_differences(left, right)
    # ten characters before index 100, where they differ
    assert line == (
        "template: this model has 'aaaaaaaaaaX' at character 90, "
        "the other has 'aaaaaaaaaaYZ' at character 90"
    )
