"""The contract of a stage, and what it refuses to change."""

from pathlib import Path

from tests.commands import QUICK, done, upbring
from upbring.runs.contract import read_contract


def test_the_contract_has_the_history_template_and_stop_tokens(home: Path, run: Path) -> None:
    found = read_contract(run / "model" / "contract.json")
    assert found == read_contract(run / "contract.json")
    assert (found.kind, found.tune, found.base) == ("sft", "lora", "m")
    assert [s.text for s in found.stops] == ["<|endoftext|>"]
    assert found.template == (run / "model" / "chat_template.jinja").read_text()
    (stage,) = found.history
    assert (stage.method, stage.steps, stage.data[0].rows) == ("sft", 6, 40)
    done(home, "pretrain", "t.jsonl", "--model", "runs/a", "--tune", "lora", *QUICK)
    below = read_contract(home / "runs" / "pretrain-1" / "model" / "contract.json")
    assert [s.method for s in below.history] == ["sft", "pretrain"]
    assert below.base_sha256 == found.base_sha256


def test_another_template_is_refused_before_the_first_step(home: Path) -> None:
    template = home / "other.jinja"
    template.write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    words = ("--chat-template", "other.jinja", "--name", "strange")
    answer = upbring(home, "sft", "d.jsonl", "--model", "runs/a", *QUICK, *words)
    assert answer.code == 2
    assert "template: this stage has" in answer.err
    assert "the contract of the model does not match" in answer.err
    assert not (home / "runs" / "strange").exists()
