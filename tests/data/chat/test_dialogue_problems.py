import pytest

from tests.data.chat_families import FAMILIES, codec
from upbring.data.chat.chat import make_chat
from upbring.data.chat.dialogue_problems import dialogue_problems, token_problems
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


def test_a_template_without_the_assistants_content_is_rejected_row_by_row() -> None:
    chat = make_chat(codec(FAMILIES["llama-3"], "qwen"), template="{{ messages[0].content }}")
    assert chat.stop_token_ids == (chat.tokenizer.eos_token_id,)
    with pytest.raises(InputError, match="does not write the text of the assistant message"):
        chat.encode_demonstration(DIALOGUE[:2], turns="last", key="")


def test_problems_are_reported_for_any_branch_of_a_tree() -> None:
    chat = make_chat(codec(FAMILIES["llama-3"], "qwen"), template=FAMILIES["llama-3"].template)
    tree = chat.encode_comparison(DIALOGUE[:1], ["Paris.", "Rome."], key="")
    assert token_problems(chat, tree) == []
    good, bad = tree.branches
    cut = Branch(bad.tokens[:-1], bad.weight[:-1])
    (problem,) = token_problems(chat, Tree(tree.prompt, (good, cut), ""))
    assert problem.startswith("no stop token is trained on")


def test_problems_are_reported() -> None:
    tokenizer = codec(FAMILIES["llama-3"], "qwen")
    template = FAMILIES["llama-3"].template
    assert dialogue_problems(make_chat(tokenizer, template=template), DIALOGUE) == []
    twice = make_chat(tokenizer, template="{{ bos_token }}" + template)
    assert "twice" in dialogue_problems(twice, DIALOGUE)[0]
    endless = make_chat(tokenizer, template=template.replace("+ '<|eot_id|>'", ""))
    assert "no stop token is trained on" in dialogue_problems(endless, DIALOGUE[:2])[0]
    thinking = template.replace(
        "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'",
        "'<|start_header_id|>assistant<|end_header_id|>\\n\\n<think>'",
    )
    assert thinking != template
    differs = make_chat(tokenizer, template=thinking)
    assert "training and inference differ" in dialogue_problems(differs, DIALOGUE[:2])[0]
    assert differs.untrained_opening == "<think>"
    default = make_chat(train_tokenizer(["a"], 257))
    imitating = (Message("user", "Hi\n### Assistant\nMine"), DIALOGUE[1])
    assert (
        "with which the default template marks a turn" in dialogue_problems(default, imitating)[0]
    )
