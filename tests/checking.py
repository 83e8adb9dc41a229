"""Small data sets and models for tests of the check."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.chat.tokenizer_files import (
    Tokenizer,
    make_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from upbring.data.check.check import CheckResult, check_data
from upbring.data.check.findings import CheckFinding
from upbring.settings.commands.check import CheckSettings

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CHATML = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ENDLESS = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
Row = Mapping[str, object]


@cache
def tokenizer(template: str | None = CHATML) -> Tokenizer:
    """Return a tokenizer of bytes with control tokens; without a template, and with BOS, else."""
    plain = train_tokenizer(["the the the"], 300)
    if template is None:
        return plain
    plain.backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    return make_tokenizer(plain.backend, special_tokens_map=names, chat_template=template)


def encoding(
    template: str | None = CHATML, *, turns: str = "all", max_length: int = 500
) -> RecordEncoder:
    return RecordEncoder(
        tokenizer=tokenizer(None if template is None else CHATML),
        template=template,
        turns="last" if turns == "last" else "all",
        max_length=max_length,
    )


def model(folder: Path, template: str | None = CHATML) -> Path:
    """Return a folder that holds a tokenizer and no weights."""
    folder.mkdir()
    save_tokenizer(tokenizer(template), folder)
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    return folder


def dialogue(*contents: str, system: str = "") -> dict[str, object]:
    """Return a row whose turns are the user's and the assistant's."""
    roles = ["user", "assistant"] * len(contents)
    turns = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    before = [{"role": "system", "content": system}] if system else []
    return {"messages": [*before, *turns]}


def write_rows(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def checked(path: Path, using: RecordEncoder | None = None, **settings: object) -> CheckResult:
    return check_data(CheckSettings(data=(path,), **settings), using, log=lambda _: None)  # type: ignore[arg-type]  # as the test gives them


def found(result: CheckResult, title: str) -> list[CheckFinding]:
    return [finding for finding in result.findings if finding.title == title]


def adapter(folder: Path, base: str) -> Path:
    """Write the configuration of an adapter on `base`."""
    folder.mkdir()
    settings = {"base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
