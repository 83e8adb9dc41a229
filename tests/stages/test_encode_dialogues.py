import json
from pathlib import Path

import numpy as np
import pytest

from tests import small
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Label, Prompt
from upbring.data.trees.store import build_store
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.settings.stage import DialogueSettings
from upbring.stages.dataset import Log
from upbring.stages.encode import make_dialogue_preprocessor
from upbring.stages.encode_dialogues import BRANCH_FACTS

RANKED = {
    "prompt": "What is snow like?",
    "responses": ["It is cold.", "It is warm.", "Cold, I think."],
    "ranks": [1, 3, 1],
    "annotator": "a",
}


def trees(
    folder: Path,
    kind: RecordType,
    rows: list[dict[str, object]],
    *,
    notice: Log = print,
    **more: object,
) -> list[Tree]:
    small.make_model(folder / "m")
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = DialogueSettings(model="m", data=(path,), **more)
    preprocessor = make_dialogue_preprocessor(
        settings, load_tokenizer(folder / "m"), log=notice, kind=kind
    )
    return list(preprocessor.encoder.encode(path, notice)[0])


def test_a_comparison_is_a_tree_with_the_ranks_of_its_branches(tmp_path: Path) -> None:
    (item,) = trees(tmp_path, Comparison, [RANKED])
    assert item.per_branch["rank"].tolist() == [1, 2, 1]  # dense
    assert np.isnan(item.per_branch["margin"]).all()
    assert len(set(item.per_branch["annotator"].tolist())) == 1
    tokenizer = load_tokenizer(tmp_path / "m")
    responses = [tokenizer.decode(branch.tokens.tolist()).strip() for branch in item.branches]
    assert [text.split("\n")[0] for text in responses] == RANKED["responses"]


def test_a_label_is_a_tree_with_whether_it_is_good(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "What is snow like?", "completion": "It is cold.", "label": True},
        {"prompt": "What is snow like?", "completion": "It is warm.", "label": False},
    ]
    found = trees(tmp_path, Label, rows)
    assert [item.per_branch["good"].tolist() for item in found] == [[1], [0]]
    assert [len(item.branches) for item in found] == [1, 1]


def test_a_prompt_is_a_tree_without_branches(tmp_path: Path) -> None:
    (item,) = trees(tmp_path, Prompt, [{"prompt": "What is snow like?"}])
    assert item.branches == ()
    assert len(item.prompt) > 4


TEMPLATE = (
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def dialogue(question: str) -> dict[str, object]:
    turns = [("user", question), ("assistant", "b")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.mark.parametrize("kind", [Comparison, Demonstration])
def test_a_row_that_the_template_rejects_is_malformed(tmp_path: Path, kind: RecordType) -> None:
    template = tmp_path / "t.jinja"
    template.write_text(TEMPLATE)
    bad = {**RANKED, "prompt": "no"} if kind is Comparison else dialogue("no")
    good = {**RANKED} if kind is Comparison else dialogue("yes")
    with pytest.raises(InputError, match=r"rows\.jsonl:2: .*not that"):
        trees(tmp_path, kind, [good, bad], chat_template=template)
    rejects = tmp_path / "rejects.jsonl"
    messages: list[str] = []
    found = trees(
        tmp_path,
        kind,
        [good, bad, good],
        notice=messages.append,
        chat_template=template,
        skip_bad=rejects,
    )
    assert len(found) == 2
    (row,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert row["line"] == 2
    assert "no" in row["row"]
    assert any("1 of 3 rows is rejected" in text for text in messages)


def test_each_comparison_of_one_row_keeps_its_own_ranks(tmp_path: Path) -> None:
    def turn(role: str, text: str, rank: int | None, *replies: object) -> dict[str, object]:
        return {"role": role, "text": text, "rank": rank, "replies": [*replies]}

    question = turn(
        "prompter", "And rain?", None, turn("assistant", "Wet.", 1), turn("assistant", "Dry.", 0)
    )
    row = turn(
        "prompter",
        "Snow?",
        None,
        turn("assistant", "Cold.", 0, question),
        turn("assistant", "Hot.", 1),
    )
    found = trees(tmp_path, Comparison, [{"prompt": row}])
    assert [item.per_branch["rank"].tolist() for item in found] == [[1, 2], [2, 1]]
    assert len({item.key for item in found}) == 1  # and are held out together


def test_a_comparison_carries_its_probability_and_weight_through_the_store(tmp_path: Path) -> None:
    pair = {"prompt": "What is snow like?", "chosen": "Cold.", "rejected": "Warm."}
    rows: list[dict[str, object]] = [{**pair, "probability": 0.25, "weight": 3}, {**pair}]
    first, second = build_store(tmp_path / "store", trees(tmp_path, Comparison, rows))
    assert set(first.per_branch) == set(BRANCH_FACTS[Comparison])
    assert first.per_branch["rank"].tolist() == [2, 1]
    assert first.per_branch["probability"].tolist() == [0.75, 0.75]
    assert first.per_branch["weight"].tolist() == [3, 3]
    assert np.isnan(second.per_branch["probability"]).all()
    assert second.per_branch["weight"].tolist() == [1, 1]
