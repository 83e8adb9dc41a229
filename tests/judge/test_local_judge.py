from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.judge.scripted_judge import about
from upbring.data.chat.chat import make_chat
from upbring.judge.judgment import Dialogue, JudgeQuestion
from upbring.judge.local_judge import LocalJudge
from upbring.judge.wording import judge_prompt
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import load

SPROUT = "builtin:sprout"
QUESTION = about("What is the capital of France?", "Paris.", "I do not know, you fool.")


@pytest.fixture(scope="module")
def judge() -> LocalJudge:
    loaded = load(
        SPROUT,
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    assert loaded.tokenizer is not None
    template = loaded.contract.template if loaded.contract else None
    return LocalJudge(
        SPROUT, "sprout", loaded.model, make_chat(loaded.tokenizer, template=template)
    )


def naive_probabilities(judge: LocalJudge, question: JudgeQuestion, start: str) -> list[float]:
    """Return the probability of each label, each in its own forward pass in float64."""
    network = AutoModelForCausalLM.from_pretrained(locate_model(SPROUT)).double().eval()
    tokenizer, prompt = judge.chat.tokenizer, judge.chat.encode_prompt(judge_prompt(question))
    prompt = prompt + tokenizer.encode(start, is_continuation=True)
    found = []
    for letter in "ABC":
        ending = tokenizer.encode(f" {letter}", is_continuation=True)
        with torch.no_grad():
            logits = network(torch.tensor([prompt + ending])).logits[0].log_softmax(-1)
        steps = range(len(prompt) - 1, len(prompt) + len(ending) - 1)
        total = sum(float(logits[i, t]) for i, t in zip(steps, ending, strict=True))
        found.append(float(np.exp(total)))
    return found


def test_the_labels_have_the_probabilities_of_a_plain_forward_pass(judge: LocalJudge) -> None:
    asked = replace(judge, name="x")
    (found,) = asked.judge([QUESTION])
    for verdict, question in zip(found.verdicts, (QUESTION, QUESTION.reversed()), strict=True):
        a, b, c = naive_probabilities(judge, question, "Answer:")
        assert verdict.label_mass == pytest.approx(a + b + c, rel=1e-3)
        if a + b + c < 0.1:
            assert verdict.choices is None
        else:
            shown = verdict if question is QUESTION else verdict.reversed()
            assert shown.choices == pytest.approx((a / (a + b), b / (a + b)), abs=1e-3)
            assert verdict.cannot_say == pytest.approx(c / (a + b + c), abs=1e-3)


def test_questions_do_not_change_each_other(judge: LocalJudge) -> None:
    others = [about(f"JudgeQuestion {i}?", "One.", "Another one.", "A third.") for i in range(5)]
    together = judge.judge([*others, QUESTION])
    (alone,) = judge.judge([QUESTION])
    masses = [v.label_mass for v in alone.verdicts]
    assert [v.label_mass for v in together[-1].verdicts] == pytest.approx(masses, rel=1e-4)


def test_a_question_longer_than_the_context_is_not_understood(judge: LocalJudge) -> None:
    assert judge.model.max_positions is not None
    long = "word " * judge.model.max_positions
    (found, other) = judge.judge([about(long, "a", "b"), QUESTION])
    assert not found.is_understood
    assert found.verdicts[0].text == "longer than the context"
    assert other.label_mass != 0


def test_reasoning_is_written_first_and_its_answer_is_not_read(judge: LocalJudge) -> None:
    seen: list[Dialogue] = []

    def generate(prompts: Sequence[Dialogue]) -> list[str]:
        seen.extend(prompts)
        return ["The first is polite.\nAnswer: B"] * len(prompts)

    one = replace(judge, generate=generate)
    (found,) = one.judge([QUESTION])
    assert one.has_reasoning
    assert len(seen) == 2
    assert "First compare" in seen[0][0].content
    assert found.verdicts[0].text == "The first is polite."
