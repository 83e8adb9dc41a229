import pytest

from tests.data.chat_families import FAMILIES, codec
from upbring.data.chat.chat import faults, flaws, make_chat
from upbring.data.chat.tokenizer_files import train_tokenizer
from upbring.data.read.records import Message
from upbring.data.trees.tree import Branch, Tree
from upbring.errors import InputError

DIALOGUE = (
    Message("user", "What is the capital of France?"),
    Message("assistant", "The capital of France is Paris."),
    Message("user", "And how are you?"),
    Message("assistant", "I am fine, thank you. 2 + 2 = 4."),
)


def test_a_template_that_leaves_out_the_assistant_is_refused_row_by_row() -> None:
    chat = make_chat(codec(FAMILIES["llama-3"], "qwen"), template="{{ messages[0].content }}")
    assert chat.stops == (chat.tokenizer.eos,)
    with pytest.raises(InputError, match="leaves nothing to learn of the assistant's turn"):
        chat.demonstration(DIALOGUE[:2], turns="last", key="")


def test_flaws_are_told_of_any_branch_of_a_tree() -> None:
    chat = make_chat(codec(FAMILIES["llama-3"], "qwen"), template=FAMILIES["llama-3"].template)
    learned = chat.comparison(DIALOGUE[:1], ["Paris.", "Rome."], key="")
    assert flaws(chat, learned) == []
    good, bad = learned.branches
    cut = Branch(bad.tokens[:-1], bad.weight[:-1])
    (flaw,) = flaws(chat, Tree(learned.prompt, (good, cut), ""))
    assert flaw.startswith("no stop token is learned")


def test_faults_are_told() -> None:
    tokenizer = codec(FAMILIES["llama-3"], "qwen")
    template = FAMILIES["llama-3"].template
    assert faults(make_chat(tokenizer, template=template), DIALOGUE) == []
    twice = make_chat(tokenizer, template="{{ bos_token }}" + template)
    assert "twice" in faults(twice, DIALOGUE)[0]
    endless = make_chat(tokenizer, template=template.replace("+ '<|eot_id|>'", ""))
    assert "no stop token is learned" in faults(endless, DIALOGUE[:2])[0]
    thinking = template.replace(
        "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'",
        "'<|start_header_id|>assistant<|end_header_id|>\\n\\n<think>'",
    )
    assert thinking != template
    differs = make_chat(tokenizer, template=thinking)
    assert "training and serving differ" in faults(differs, DIALOGUE[:2])[0]
    with pytest.raises(InputError, match=r"asks for an answer with .*<think>"):
        differs.comparison(DIALOGUE[:1], ["a", "b"], key="")
    default = make_chat(train_tokenizer(["a"], 257))
    imitating = (Message("user", "Hi\n### Assistant\nMine"), DIALOGUE[1])
    assert "by which the default template marks a turn" in faults(default, imitating)[0]
