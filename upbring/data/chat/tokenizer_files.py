"""The files of a tokenizer: read from a model's folder, and written beside a model.

Read are `tokenizer.json`, or `vocab.json` with `merges.txt` (GPT-2), or whatever transformers can
convert without running the folder's code; the control tokens and the chat template come from the
JSON files beside it. Written are the same files, byte for byte, and the template in use.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors

from upbring.data.chat.tokenizer import END, Tokenizer, make_tokenizer, train_tokenizer
from upbring.errors import InputError, shown

__all__ = ["Tokenizer", "load_tokenizer", "make_tokenizer", "save_tokenizer", "train_tokenizer"]

_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_LARGEST_BYTES = 200_000_000  # of tokenizer.json; the largest in the field has 35 MB
_LARGEST_OTHER_BYTES = 20_000_000
_WRITTEN = (
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
_GPT2 = (None, "GPT2Tokenizer", "GPT2TokenizerFast")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer that lies in a model's folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder of a model")
    settings = _read_json(folder / "tokenizer_config.json")
    if "auto_map" in settings:
        raise InputError(
            f"{folder / 'tokenizer_config.json'}: auto_map asks to run the folder's own code, and "
            "upbring runs none; remove auto_map if tokenizer.json suffices"
        )
    names = _names(_read_json(folder / "special_tokens_map.json") | settings)
    backend = _backend(folder, settings)
    _add_declared(backend, settings)
    if backend.token_to_id(END) is not None and not names:
        names = {"bos_token": END, "eos_token": END}
    for role in ("bos_token", "eos_token"):
        if role in names and backend.token_to_id(names[role]) is None:
            raise InputError(
                f"{folder}: {role} is {shown(names[role])}, which is not in the vocabulary; "
                "correct tokenizer_config.json"
            )
    return make_tokenizer(backend, names=names, template=_template(folder, settings), files=folder)


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, template: str | None = None) -> None:
    """Write the tokenizer's files into `folder`, and `template` as the template in use."""
    if tokenizer.files is not None:
        for name in _WRITTEN:
            if (tokenizer.files / name).is_file():
                shutil.copyfile(tokenizer.files / name, folder / name)
    if not (folder / "tokenizer.json").exists():
        _write(folder / "tokenizer.json", tokenizer.backend.to_str(pretty=True))
    if not (folder / "tokenizer_config.json").exists():
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **tokenizer.names,
        }
        _write(folder / "tokenizer_config.json", json.dumps(settings, indent=2))
    chosen = template if template is not None else tokenizer.template
    if chosen is not None and chosen != _template(
        folder, _read_json(folder / "tokenizer_config.json")
    ):
        _write(folder / "chat_template.jinja", chosen)


def _backend(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the backend of whatever files there are."""
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return tokenizers.Tokenizer.from_str(_read(path, largest=_LARGEST_BYTES))
        except InputError:
            raise
        except Exception as error:  # the library raises nothing more particular
            raise InputError(
                f"{path}: it cannot be read as a tokenizer ({_first_line(error)}); "
                "copy the file again from where the model came from"
            ) from error
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    is_gpt2 = settings.get("tokenizer_class") in _GPT2
    if vocabulary.is_file() and merges.is_file() and is_gpt2:
        return _gpt2(vocabulary, merges)
    return _converted(folder)


def _gpt2(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """Return GPT-2's byte-level BPE of a vocabulary and its merges."""
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises nothing more particular
        raise InputError(
            f"{vocabulary}: it cannot be read with {merges.name} ({_first_line(error)}); "
            "copy both files again from where the model came from"
        ) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return backend


def _converted(folder: Path) -> tokenizers.Tokenizer:
    """Return what transformers makes of older files, with its own code alone."""
    from transformers import AutoTokenizer  # noqa: PLC0415 -- seconds to import, seldom needed

    try:
        converted = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        backend = tokenizers.Tokenizer.from_str(converted.backend_tokenizer.to_str())
    except Exception as error:  # whatever its many converters raise
        raise InputError(
            f"{folder}: it holds no tokenizer that can be read ({_first_line(error)}); "
            "put tokenizer.json into the folder"
        ) from error
    return backend


def _add_declared(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Mark the special tokens that tokenizer_config.json declares and the vocabulary has."""
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


def _names(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the control tokens by the name that a template gives them."""
    names = {}
    for role in _ROLES:
        token = settings.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str) and text:
            names[f"{role}_token"] = text
    return names


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the chat template, from its own file or from tokenizer_config.json."""
    for name in ("chat_template.jinja", "chat_template.json"):
        path = folder / name
        if path.is_file():
            text = _read(path, largest=_LARGEST_OTHER_BYTES)
            if path.suffix == ".jinja":
                return text
            settings = _read_json(path)
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) and found else None


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's object, empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read(path, largest=_LARGEST_OTHER_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: it is no valid JSON ({_first_line(error)}); correct it"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: it holds {shown(value)}; it should hold an object {{…}}")
    return value


def _read(path: Path, *, largest: int) -> str:
    """Return a file's text, if it is not too large."""
    size = path.stat().st_size
    if size > largest:
        raise InputError(
            f"{path}: it has {size / 1e6:,.0f} MB, and no tokenizer needs more than "
            f"{largest / 1e6:,.0f} MB; check where it came from"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: it cannot be read ({_first_line(error)}); check the file"
        ) from error


def _write(path: Path, text: str) -> None:
    """Write a file, line ends as they are."""
    path.write_text(text, encoding="utf-8", newline="")


def _first_line(error: BaseException) -> str:
    """Return the beginning of an error's message."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:160].rstrip(".;")
