from tests.checking import CHATML, encoding, tokenizer
from upbring.data.check.preview import (
    FIRST,
    HEAD,
    LAST,
    TAIL,
    Run,
    plain_example,
    rendered_example,
    visible,
)
from upbring.data.read.records import Comparison, Demonstration, Document, Message, Origin, Prompt

AT = Origin("a.jsonl", 7)
DIALOGUE = (
    Message("user", "Hi"),
    Message("assistant", "Ho"),
    Message("user", "Äh?"),
    Message("assistant", "Hü"),
)


def test_the_text_of_a_dialogue_is_cut_where_learning_begins_and_ends() -> None:
    record = Demonstration(DIALOGUE, AT)
    example = rendered_example(record, encoding().tree(record), tokenizer=tokenizer())
    (part,) = example.parts
    start, stop = Run("<|im_start|>", is_control=True), Run("<|im_end|>", is_control=True)
    learned = Run("<|im_end|>", is_learned=True, is_control=True)
    assert part.runs == (
        *(start, Run("user\nHi"), stop, Run("\n"), start, Run("assistant\n")),
        *(Run("Ho", is_learned=True), learned),
        *(Run("\n"), start, Run("user\nÄh?"), stop, Run("\n"), start, Run("assistant\n")),
        *(Run("Hü", is_learned=True), learned),
    )
    assert example.where == "a.jsonl:7"


def test_the_responses_of_a_comparison_stand_apart() -> None:
    record = Comparison(DIALOGUE[:1], ("Ho", "No"), (2.0, 1.0), AT)
    example = rendered_example(record, encoding().tree(record), tokenizer=tokenizer())
    assert [part.name for part in example.parts] == ["prompt", "rank 2", "rank 1"]
    assert example.parts[2].runs[0] == Run("No", is_learned=True)
    assert example.use == "compared"


def test_without_a_model_the_messages_are_shown() -> None:
    example = plain_example(Demonstration(DIALOGUE, AT))
    assert [part.name for part in example.parts] == ["user", "assistant", "user", "assistant"]
    assert example.parts[3].runs == (Run("Hü", is_learned=True),)
    assert plain_example(Document("a", AT)).parts[0].name == "text"
    assert not plain_example(Prompt(DIALOGUE[:1], AT)).use


def test_long_texts_and_dialogues_are_shortened() -> None:
    (part,) = plain_example(Document("a" * 2000 + "z", AT)).parts
    (run,) = part.runs
    assert run.text.startswith("a" * HEAD + f" [… {2001 - HEAD - TAIL:,} characters …] ")
    assert run.text.endswith("az")
    many = Demonstration((*DIALOGUE,) * 20, AT)
    assert len(plain_example(many).parts) == FIRST + 1 + LAST
    tree = encoding(CHATML, max_length=10_000).tree(many)
    (part,) = rendered_example(many, tree, tokenizer=tokenizer()).parts
    assert len(part.runs) == FIRST + 1 + LAST


def test_nothing_of_a_row_is_obeyed_by_a_terminal() -> None:
    text = "a\x1b[31mb\rc\x07\u202ed\u0085\ttab\nline 👩\u200d👧"
    shown = "a<U+001B>[31mb<U+000D>c<U+0007><U+202E>d<U+0085>\ttab\nline 👩\u200d👧"
    assert visible(text) == shown
    assert plain_example(Document(text, AT)).parts[0].runs[0].text == shown
