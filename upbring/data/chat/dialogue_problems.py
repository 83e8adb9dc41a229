"""Problems of training on a dialogue: no stop token, BOS twice, other text at inference."""

from collections.abc import Sequence

from upbring.data.chat.chat import Chat
from upbring.data.chat.default_template import TURN_MARKER, TURN_MARKER_LINE
from upbring.data.read.records import Message
from upbring.data.trees.tree import Tree


def dialogue_problems(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return the problems of training on a dialogue that ends with an assistant message."""
    encoded = chat.encode_demonstration(messages, turns="last", key="")
    problems = token_problems(chat, encoded)
    if encoded.prompt.tolist() != chat.encode_prompt(messages[:-1]):
        prompt_text = chat.render(messages[:-1], add_generation_prompt=True)
        problems.append(
            "training and inference differ: the chat template's generation prompt ends with "
            f"{prompt_text[-30:]!r}, which it does not write before an existing answer; pass "
            "another template with --chat-template FILE"
        )
    return problems + fake_turn_problems(chat, messages)


def token_problems(chat: Chat, encoded: Tree) -> list[str]:
    """Return the problems that are visible in the tokens of any branch; cheap to compute."""
    problems = []
    stops = set(chat.stop_token_ids)
    weighted_tokens = [branch.tokens[branch.weight > 0].tolist() for branch in encoded.branches]
    if not all(stops.intersection(tokens) for tokens in weighted_tokens):
        problems.append(
            "no stop token is trained on, so generation would never stop: the chat template "
            "writes none after the assistant's last turn; pass another template with "
            "--chat-template FILE"
        )
    bos = chat.tokenizer.bos_token_id
    if bos is not None and encoded.prompt[:2].tolist() == [bos, bos]:
        problems.append(
            f"the text starts with {chat.tokenizer.bos_token!r} twice: the chat template writes it "
            "twice; correct the template"
        )
    return problems


def fake_turn_problems(chat: Chat, messages: Sequence[Message]) -> list[str]:
    """Return the problem of a message that imitates a turn of the default template."""
    if not chat.is_default:
        return []
    problem = (
        f"a message contains the line {TURN_MARKER!r}, with which the default template marks a "
        "turn; remove it, or use a template with special tokens"
    )
    return [problem] if any(TURN_MARKER_LINE.search(m.content) for m in messages) else []
