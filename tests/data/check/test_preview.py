from tests.checking import CHATML, encoding, tokenizer
from upbring.data.check.preview import (
    HEAD_CHARACTERS,
    NUM_FIRST,
    NUM_LAST,
    TAIL_CHARACTERS,
    TextRun,
    escape_terminal,
    plain_example,
    rendered_example,
)
from upbring.data.read.records import Comparison, Demonstration, Document, Message, Origin, Prompt

AT = Origin("a.jsonl", 7)
DIALOGUE = (
    Message("user", "Hi"),
    Message("assistant", "Ho"),
    Message("user", "Äh?"),
    Message("assistant", "Hü"),
)


def test_the_text_of_a_dialogue_is_split_where_loss_begins_and_ends() -> None:
    record = Demonstration(DIALOGUE, AT)
    example = rendered_example(record, encoding().encode(record), tokenizer=tokenizer())
    (part,) = example.parts
    start, stop = TextRun("<|im_start|>", is_special=True), TextRun("<|im_end|>", is_special=True)
    learned = TextRun("<|im_end|>", has_loss=True, is_special=True)
    assert part.runs == (
        *(start, TextRun("user\nHi"), stop, TextRun("\n"), start, TextRun("assistant\n")),
        *(TextRun("Ho", has_loss=True), learned),
        *(
            TextRun("\n"),
            start,
            TextRun("user\nÄh?"),
            stop,
            TextRun("\n"),
            start,
            TextRun("assistant\n"),
        ),
        *(TextRun("Hü", has_loss=True), learned),
    )
    assert example.location == "a.jsonl:7"


def test_the_responses_of_a_comparison_are_separate_parts() -> None:
    record = Comparison(DIALOGUE[:1], ("Ho", "No"), (2.0, 1.0), AT)
    example = rendered_example(record, encoding().encode(record), tokenizer=tokenizer())
    assert [part.name for part in example.parts] == ["prompt", "rank 2", "rank 1"]
    assert example.parts[2].runs[0] == TextRun("No", has_loss=True)
    assert example.highlight_label == "compared"


def test_without_a_model_the_messages_are_shown() -> None:
    example = plain_example(Demonstration(DIALOGUE, AT))
    assert [part.name for part in example.parts] == ["user", "assistant", "user", "assistant"]
    assert example.parts[3].runs == (TextRun("Hü", has_loss=True),)
    assert plain_example(Document("a", AT)).parts[0].name == "text"
    assert not plain_example(Prompt(DIALOGUE[:1], AT)).highlight_label


def test_long_texts_and_dialogues_are_shortened() -> None:
    (part,) = plain_example(Document("a" * 2000 + "z", AT)).parts
    (run,) = part.runs
    assert run.text.startswith(
        "a" * HEAD_CHARACTERS + f" [… {2001 - HEAD_CHARACTERS - TAIL_CHARACTERS:,} characters …] "
    )
    assert run.text.endswith("az")
    many = Demonstration((*DIALOGUE,) * 20, AT)
    assert len(plain_example(many).parts) == NUM_FIRST + 1 + NUM_LAST
    tree = encoding(CHATML, max_length=10_000).encode(many)
    (part,) = rendered_example(many, tree, tokenizer=tokenizer()).parts
    assert len(part.runs) == NUM_FIRST + 1 + NUM_LAST


def test_terminal_control_characters_are_escaped() -> None:
    text = "a\x1b[31mb\rc\x07\u202ed\u0085\ttab\nline 👩\u200d👧"
    shown = "a<U+001B>[31mb<U+000D>c<U+0007><U+202E>d<U+0085>\ttab\nline 👩\u200d👧"
    assert escape_terminal(text) == shown
    assert plain_example(Document(text, AT)).parts[0].runs[0].text == shown
