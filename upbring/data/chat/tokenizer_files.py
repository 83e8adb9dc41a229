"""Reads a tokenizer from a model's folder and saves it into another folder.

The tokenizer comes from `tokenizer.json`, from `vocab.json` with `merges.txt` (GPT-2), or from
files that transformers can convert without running the folder's code. The special tokens and the
chat template come from the JSON files next to it. Saving copies the same files byte for byte and
adds the chat template in use.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors

from upbring import durable
from upbring.data.chat.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    explain_panics,
    make_tokenizer,
    train_tokenizer,
)
from upbring.errors import InputError, format_value

__all__ = ["Tokenizer", "load_tokenizer", "make_tokenizer", "save_tokenizer", "train_tokenizer"]

_TOKEN_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_MAX_TOKENIZER_BYTES = 200_000_000  # of tokenizer.json; the largest known one has 35 MB
_MAX_OTHER_BYTES = 20_000_000
MAX_TOKEN_ID = 2**24  # the largest known vocabulary has 262,144 tokens
LONG_NUMBER = re.compile(r"[\s:]\d{8}")  # an id may be larger than that
_COPIED_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
)
_GPT2_CLASSES = (None, "GPT2Tokenizer", "GPT2TokenizerFast")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer in a model's folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder of a model")
    settings = _read_json(folder / "tokenizer_config.json")
    if "auto_map" in settings:
        raise InputError(
            f"{folder / 'tokenizer_config.json'}: auto_map requires running the folder's own code, "
            "which upbring never does; remove auto_map if tokenizer.json is sufficient"
        )
    special_tokens_map = _special_tokens_map(
        _read_json(folder / "special_tokens_map.json") | settings
    )
    backend = _load_backend(folder, settings)
    _add_declared_tokens(backend, settings)
    if backend.token_to_id(END_OF_TEXT) is not None and not special_tokens_map:
        special_tokens_map = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    for role in ("bos_token", "eos_token"):
        if role in special_tokens_map and backend.token_to_id(special_tokens_map[role]) is None:
            raise InputError(
                f"{folder}: {role} is {format_value(special_tokens_map[role])}, which is not in "
                "the vocabulary; correct tokenizer_config.json"
            )
    return make_tokenizer(
        backend,
        special_tokens_map=special_tokens_map,
        chat_template=_read_template(folder, settings),
        folder=folder,
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, template: str | None = None) -> None:
    """Write the tokenizer's files into `folder`, with `template` as its chat template."""
    if tokenizer.folder is not None:
        for name in _COPIED_FILES:
            if (tokenizer.folder / name).is_file():
                shutil.copyfile(tokenizer.folder / name, folder / name)
    if not (folder / "tokenizer.json").exists():
        _write_text(folder / "tokenizer.json", tokenizer.backend.to_str(pretty=True))
    if not (folder / "tokenizer_config.json").exists():
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **tokenizer.special_tokens_map,
        }
        _write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2))
    chosen_template = template if template is not None else tokenizer.chat_template
    if chosen_template is not None and chosen_template != _read_template(
        folder, _read_json(folder / "tokenizer_config.json")
    ):
        _write_text(folder / "chat_template.jinja", chosen_template)


def _load_backend(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the backend from the first file format that is present."""
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            text = _read_text(path, max_bytes=_MAX_TOKENIZER_BYTES)
            _require_small_ids(path, text)
            with explain_panics(folder):
                return tokenizers.Tokenizer.from_str(text)
        except InputError:
            raise
        except Exception as error:  # the library raises plain Exception
            if durable.is_resource_error(error):
                raise
            raise InputError(
                f"{path}: it cannot be read as a tokenizer ({_first_line(error)}); "
                "download or copy the file again"
            ) from error
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    is_gpt2 = settings.get("tokenizer_class") in _GPT2_CLASSES
    if vocabulary.is_file() and merges.is_file() and is_gpt2:
        return _load_gpt2(vocabulary, merges)
    return _convert_with_transformers(folder)


def _require_small_ids(path: Path, text: str) -> None:
    """Raise if a token has an id for which the library would fill the memory with a table."""
    if LONG_NUMBER.search(text) is None:  # a large file is not parsed twice without need
        return
    document = json.loads(text)
    model = document.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    added = document.get("added_tokens")
    ids = [*vocabulary.values()] if isinstance(vocabulary, dict) else []
    ids += [each.get("id") for each in added or () if isinstance(each, dict)]
    largest = max((each for each in ids if isinstance(each, int)), default=0)
    if largest > MAX_TOKEN_ID:
        raise InputError(
            f"{path}: a token has the id {largest:,}, and the limit is {MAX_TOKEN_ID:,}; download "
            "or copy the file again"
        )


def _load_gpt2(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """Return GPT-2's byte-level BPE from its vocabulary and merges."""
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises plain Exception
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{vocabulary}: it cannot be read with {merges.name} ({_first_line(error)}); "
            "download or copy both files again"
        ) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return backend


def _convert_with_transformers(folder: Path) -> tokenizers.Tokenizer:
    """Return the backend that transformers converts from older files, without remote code."""
    from transformers import AutoTokenizer  # noqa: PLC0415 -- slow to import, rarely needed

    try:
        converted = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        backend = tokenizers.Tokenizer.from_str(converted.backend_tokenizer.to_str())
    except Exception as error:  # the converters raise many types
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{folder}: it contains no readable tokenizer ({_first_line(error)}); "
            "put tokenizer.json into the folder"
        ) from error
    return backend


def _add_declared_tokens(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Mark vocabulary tokens as special if tokenizer_config.json declares them special."""
    declared = settings.get("added_tokens_decoder") or {}
    known = {t.content for t in backend.get_added_tokens_decoder().values() if t.special}
    backend.add_special_tokens(
        [
            AddedToken(
                token["content"],
                lstrip=bool(token.get("lstrip")),
                rstrip=bool(token.get("rstrip")),
                normalized=bool(token.get("normalized")),
            )
            for token in (declared.values() if isinstance(declared, dict) else ())
            if isinstance(token, dict)
            and token.get("special")
            and token.get("content") not in known
            and backend.token_to_id(str(token.get("content"))) is not None
        ]
    )


def _special_tokens_map(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens by the name that a template uses, such as `eos_token`."""
    role_tokens = {}
    for role in _TOKEN_ROLES:
        token = settings.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str) and text:
            role_tokens[f"{role}_token"] = text
    return role_tokens


def _read_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the chat template from its own file or from tokenizer_config.json."""
    for name in ("chat_template.jinja", "chat_template.json"):
        path = folder / name
        if path.is_file():
            text = _read_text(path, max_bytes=_MAX_OTHER_BYTES)
            if path.suffix == ".jinja":
                return text
            settings = _read_json(path)
    template = settings.get("chat_template")
    if isinstance(template, list):
        templates_by_name = {
            item.get("name"): item.get("template") for item in template if isinstance(item, dict)
        }
        template = templates_by_name.get("default")
    return template if isinstance(template, str) and template else None


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's object, empty if the file does not exist."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read_text(path, max_bytes=_MAX_OTHER_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: it is not valid JSON ({_first_line(error)}); correct it"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: it contains {format_value(value)}; write a JSON object {{…}}")
    return value


def _read_text(path: Path, *, max_bytes: int) -> str:
    """Return a file's text; raise if it is too large."""
    size = path.stat().st_size
    if size > max_bytes:
        raise InputError(
            f"{path}: it has {size / 1e6:,.0f} MB, and the limit for this file is "
            f"{max_bytes / 1e6:,.0f} MB; check where it came from"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if durable.is_resource_error(error):
            raise
        raise InputError(
            f"{path}: it cannot be read ({_first_line(error)}); check the file"
        ) from error


def _write_text(path: Path, text: str) -> None:
    """Write a file without converting line ends."""
    path.write_text(text, encoding="utf-8", newline="")


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:160].rstrip(".;")
