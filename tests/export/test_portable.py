from pathlib import Path

import pytest

from upbring.export.portable import portable_contract, portable_result, portable_text
from upbring.runs.contract import Contract, TrainingFile, TrainingStage
from upbring.runs.results import EvalResult, JudgeQuality


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quality of /srv/runs/reward-1 as a judge", "quality of reward-1 as a judge"),
        ("see https://example.org/a/b.html", "see https://example.org/a/b.html"),
        ("`~/x/y.jsonl`, (../z), 1/2 and/or", "`y.jsonl`, (z), 1/2 and/or"),
        ("data/a.jsonl and ./b", "data/a.jsonl and ./b"),
    ],
)
def test_a_text_has_no_folders_of_this_machine(text: str, found: str) -> None:
    assert portable_text(text) == found


def test_a_contract_and_a_result_have_none_either() -> None:
    file = str(Path("/srv/private/chat.jsonl"))
    contract = Contract(
        base="/srv/models/base",
        base_sha256="",
        tokenizer="",
        template=None,
        stops=(),
        bos=None,
        eos=None,
        kind="sft",
        tune="lora",
        history=(TrainingStage("sft", (TrainingFile(file, "a", 3),), "", 1),),
    )
    portable = portable_contract(contract)
    assert (portable.base, portable.history[0].data[0].file) == ("base", "chat.jsonl")
    judge = JudgeQuality("/srv/runs/r", detail="on /srv/x.jsonl")
    result = EvalResult(
        "preference", "/srv/runs/a", "win_rate", 0.5, against="/srv/runs/b", judge=judge
    )
    assert "/srv" not in repr(portable_result(result))
