from tests.gguf_models import CHATML, make_byte_level
from upbring.data.chat.chat import Chat
from upbring.export.gguf.modelfile import NOT_TRANSLATED, STRIPS, make_modelfile


def modelfile(template: str, **changes: object) -> tuple[str, list[str]]:
    chat = Chat(make_byte_level("gpt-2"), template)
    values = {"stops": ["<|im_end|>"], "adds_bos": False, "context_length": 8192, **changes}
    found = make_modelfile("x.gguf", chat=chat, **values)  # type: ignore[arg-type]
    return found.text, found.warnings


def test_it_names_the_file_the_template_and_what_ends_a_turn() -> None:
    text, warnings = modelfile(CHATML)
    first, rest = text.split("\n", 1)
    assert first == "FROM ./x.gguf"
    assert rest.startswith('TEMPLATE """{{ range')
    assert text.endswith('PARAMETER stop "<|im_end|>"\n')
    assert warnings == []


def test_a_short_context_and_quotes_are_written() -> None:
    text, _ = modelfile(CHATML, stops=['a"b\\', "\n###"], context_length=512)
    assert text.endswith(
        'PARAMETER stop "a\\"b\\\\"\nPARAMETER stop "\\n###"\nPARAMETER num_ctx 512\n'
    )


def test_a_template_that_cannot_be_translated_is_left_out_and_reported() -> None:
    text, warnings = modelfile(CHATML.replace("message['content']", "message['content'][:9]"))
    assert "TEMPLATE" not in text
    assert warnings == [NOT_TRANSLATED]


def test_a_template_that_strips_white_space_is_reported() -> None:
    text, warnings = modelfile(CHATML.replace("message['content']", "message['content'] | trim"))
    assert "TEMPLATE" in text
    assert warnings == [STRIPS]


def test_a_model_without_a_template_continues_text() -> None:
    found = make_modelfile("x.gguf", chat=None, stops=[], adds_bos=True, context_length=None)
    assert found.text == 'FROM ./x.gguf\nTEMPLATE """{{ .Prompt }}"""\n'
