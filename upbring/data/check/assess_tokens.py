"""Findings about the tokens of rows: what is trained on, what is cut, dropped or unknown."""

from collections.abc import Iterator, Sequence

from upbring.data.chat.chat import Chat
from upbring.data.chat.dialogue_problems import (
    dialogue_problems,
    fake_turn_problems,
    token_problems,
)
from upbring.data.chat.encode_records import messages_of
from upbring.data.chat.written_content import missing_words
from upbring.data.check.findings import (
    CheckFinding,
    ExampleTally,
    merge_tallies,
)
from upbring.data.check.preview import escape_terminal
from upbring.data.check.survey import RESPONSE_LENGTH, Survey
from upbring.data.check.unknown_text import MAX_SHOWN
from upbring.data.read.record_text import prompt_of, text_of
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Prompt,
    Record,
)
from upbring.errors import InputError
from upbring.plurals import format_count

_MAX_WORDS = 5  # that are shown of a dropped text


def assess_training(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether every row can be trained on, and as it will be used."""
    yield from _assess_loss_tokens(surveys)
    yield from _assess_vocabulary(surveys)
    yield from _assess_end_of_text(surveys)
    yield from _assess_inference(surveys)
    yield from _assess_dropped_text(surveys)


def assess_tokens(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the rows that are too long, or contain unknown or special tokens."""
    yield from _assess_lengths(surveys)
    yield from _assess_unknown_text(surveys)
    yield from _assess_special_tokens(surveys)


def _max_length(surveys: Sequence[Survey]) -> int:
    return max(survey.encoder.max_length for survey in surveys if survey.encoder is not None)


def _assess_loss_tokens(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether every row has trained tokens, trains a stop token, and has at most one BOS."""
    total = sum(s.num_records for s in surveys)
    rejected = merge_tallies(survey.rejected for survey in surveys)
    if rejected.count:
        yield rejected.make_finding(
            "failure" if surveys[0].skip_bad is None else "warning",
            "loss tokens",
            message=f"{format_count(rejected.count, 'row', total=total)} cannot be trained on",
            todo="see the reason of each row",
        )
    elif any(s.num_loss_tokens for s in surveys) and not any(s.dropped.count for s in surveys):
        yield CheckFinding("fine", "loss tokens", "every row has trained tokens")
    problems = dict.fromkeys(name for survey in surveys for name in survey.token_problem_tallies)
    for problem in problems:
        tally = merge_tallies(
            s.token_problem_tallies[problem] for s in surveys if problem in s.token_problem_tallies
        )
        message, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, "row", total=total)
        yield tally.make_finding(
            "failure", "tokens", message=f"in {count_text}, {message}", todo=todo
        )
    if not problems and any(s.num_loss_tokens and s.kind is not Document for s in surveys):
        is_cut = any(survey.truncated.count or survey.dropped.count for survey in surveys)
        rows = f"every row within {_max_length(surveys):,} tokens" if is_cut else "every row"
        yield CheckFinding(
            "fine", "tokens", f"{rows} trains a stop token, and none begins with BOS twice"
        )


def _assess_end_of_text(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a warning if documents cannot end with an EOS token."""
    for survey in surveys:
        if (
            survey.kind is Document
            and survey.encoder
            and survey.encoder.tokenizer.eos_token_id is None
        ):
            message = "the tokenizer has no EOS token, so documents are not separated"
            todo = "set eos_token in its tokenizer_config.json"
            yield CheckFinding("warning", "end of text", message, todo)
            return


def _assess_inference(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether training and inference use the same tokens, in a sample of each file."""
    tallies: dict[str, ExampleTally] = {}
    num_checked = 0
    for survey in surveys:
        if survey.encoder is None or survey.kind not in {Demonstration, Label}:
            continue
        chat = survey.encoder.chat
        for record in survey.sample.selected:
            messages = messages_of(record)
            try:
                encoded = chat.encode_demonstration(messages, turns="last", key="")
                known = {*token_problems(chat, encoded), *fake_turn_problems(chat, messages)}
                new = [text for text in dialogue_problems(chat, messages) if text not in known]
            except InputError:
                continue  # counted in survey.rejected
            num_checked += 1
            for problem in new:
                tallies.setdefault(problem, ExampleTally()).add(str(record.origin))
    for problem, tally in tallies.items():
        text, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, "sampled row", total=num_checked)
        yield tally.make_finding(
            "failure", "inference", message=f"in {count_text}, {text}", todo=todo
        )
    for survey in surveys:
        if survey.kind is Comparison and survey.encoder and survey.encoder.chat.untrained_opening:
            opening = survey.encoder.chat.untrained_opening
            message = f"the chat template starts only a generated answer with {opening!r}"
            todo = "a policy trained on these rows is not trained to answer after it"
            yield CheckFinding("warning", "inference", message, todo)
            return
    if num_checked and not tallies:
        rows = f"all {num_checked} sampled rows" if num_checked > 1 else "the sampled row"
        yield CheckFinding("fine", "inference", f"training and inference agree in {rows}")


def _assess_vocabulary(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a failure if the tokenizer has tokens that the model does not have."""
    largest = max(survey.largest_token for survey in surveys)
    sizes = [s.encoder.vocab_size for s in surveys if s.encoder and s.encoder.vocab_size]
    if sizes and largest >= sizes[0]:
        message = f"the rows contain token {largest:,}, and the model has {sizes[0]:,} tokens"
        yield CheckFinding("failure", "vocabulary", message, "use the model's own tokenizer")


def _assess_dropped_text(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the text that the chat template leaves out, by role, in a sample of each file."""
    tallies: dict[str, ExampleTally] = {}
    words: dict[str, list[str]] = {}
    num_checked = 0
    for survey in surveys:
        if survey.encoder is None or survey.kind is Document:
            continue
        for record in survey.sample.selected:
            try:
                dropped = _dropped_words(survey.encoder.chat, record)
            except InputError:
                continue  # counted in survey.rejected
            num_checked += 1
            for role, missing in dropped.items():
                tallies.setdefault(role, ExampleTally()).add(str(record.origin))
                words.setdefault(role, missing[:_MAX_WORDS])
    for role, tally in tallies.items():
        shown = escape_terminal(" ".join(words[role]))
        yield tally.make_finding(
            "warning",
            "template",
            message=f"in {format_count(tally.count, 'sampled row', total=num_checked)}, the chat "
            f"template leaves out text of the {role} message, such as: {shown}",
            todo="it is not learned: pass another template with --chat-template FILE",
        )


def _dropped_words(chat: Chat, record: Record) -> dict[str, list[str]]:
    """Return the words that the rendered record does not contain, by role."""
    if isinstance(record, Comparison):
        best = record.responses[record.ranks.index(min(record.ranks))]
        messages = (*prompt_of(record), Message("assistant", best))
    else:
        messages = messages_of(record)
    text = chat.render(messages, add_generation_prompt=isinstance(record, Prompt))
    found = ((message.role, missing_words(message.content, text)) for message in messages)
    return {role: missing for role, missing in found if missing}


def _assess_context_length(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a warning if max_length exceeds the model's context length."""
    encoder = next(survey.encoder for survey in surveys if survey.encoder is not None)
    if encoder.lowered_from is not None:
        yield CheckFinding(
            "warning",
            "length",
            f"max_length {encoder.lowered_from:,} is lowered to {encoder.max_length:,}, the "
            "model's context length, as in training",
        )


def _dropped_reason(surveys: Sequence[Survey]) -> str:
    """Return why rows are dropped for their length."""
    if all(survey.kind is Prompt for survey in surveys):
        return f"a response of {RESPONSE_LENGTH} tokens does not fit"
    return "no trained token is left"


def _assess_unknown_text(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the unknown tokens, and the characters that the tokenizer drops."""
    total = sum(survey.num_records for survey in surveys)
    rows = merge_tallies(survey.unknown_text.rows for survey in surveys)
    if rows.count:
        count = sum(survey.unknown_text.num_tokens for survey in surveys)
        shown = ", ".join(map(repr, _unknown_examples(surveys)))
        yield rows.make_finding(
            "warning",
            "unknown",
            message=f"in {format_count(rows.count, 'row', total=total)}, "
            f"{format_count(count, 'token', verb='is')} unknown "
            f"to the tokenizer and become <unk>{': ' if shown else ''}{shown}",
            todo="the model cannot learn this text: replace it, or use another model",
        )
    dropped = {c: place for s in surveys for c, place in s.unknown_text.dropped.items()}
    if dropped:
        tally = ExampleTally()
        for character, place in dropped.items():
            tally.add(f"{place}: {character!r}")
        yield tally.make_finding(
            "warning",
            "unknown",
            message=f"{format_count(len(dropped), 'character', verb='is')} not in the "
            "tokenizer and left out",
            todo="replace them, or use another model",
        )


def _unknown_examples(surveys: Sequence[Survey]) -> list[str]:
    """Return some words that are unknown to the tokenizer."""
    for survey in surveys:
        if survey.encoder is not None and not survey.unknown_text.examples:
            texts = [text_of(record) for record in survey.sample.selected]
            survey.unknown_text.find_unknown_words(texts, survey.encoder.tokenizer)
    found = [word for survey in surveys for word in survey.unknown_text.examples]
    return [*dict.fromkeys(map(escape_terminal, found))][:MAX_SHOWN]


def _assess_lengths(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the rows that max_length would truncate or drop."""
    total = sum(s.num_records for s in surveys)
    max_length = _max_length(surveys)
    yield from _assess_context_length(surveys)
    truncated = merge_tallies(survey.truncated for survey in surveys)
    dropped = merge_tallies(survey.dropped for survey in surveys)
    if truncated.count:
        yield truncated.make_finding(
            "warning",
            "length",
            message=f"{format_count(truncated.count, 'row', total=total)} would be truncated at "
            f"{max_length:,} tokens and lose the stop token",
            todo="raise --max-length, or shorten them",
        )
    if dropped.count:
        train = [survey for survey in surveys if survey.purpose == "train"]
        num_left = sum(s.num_records - s.dropped.count - s.rejected.count for s in train)
        yield dropped.make_finding(
            "warning" if num_left else "failure",
            "length",
            message=f"{format_count(dropped.count, 'row', total=total)} would be dropped: "
            f"{_dropped_reason(surveys)} within {max_length:,} tokens",
            todo="raise --max-length, or shorten their prompts",
        )
    if not truncated.count and not dropped.count and any(s.kind is not Document for s in surveys):
        limit = min(s.max_tree_length for s in surveys if s.encoder and s.kind is not Document)
        yield CheckFinding("fine", "length", f"every row has at most {limit:,} tokens")


def _assess_special_tokens(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the rows that contain special-token text, or a turn marker of the default template."""
    total = sum(s.num_records for s in surveys)
    special_tally = merge_tallies(survey.special_token_rows for survey in surveys)
    if special_tally.count:
        yield special_tally.make_finding(
            "warning",
            "special tokens",
            message=f"{format_count(special_tally.count, 'row', total=total)} contain the text of "
            "a "
            "special token, which is encoded as plain text",
            todo="if a special token is meant, give messages instead of rendered text",
        )
    for problem in dict.fromkeys(f for survey in surveys for f in survey.fake_turn_tallies):
        tally = merge_tallies(
            s.fake_turn_tallies[problem] for s in surveys if problem in s.fake_turn_tallies
        )
        message, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, "row", total=total)
        yield tally.make_finding(
            "warning", "turn markers", message=f"in {count_text}, {message}", todo=todo
        )
