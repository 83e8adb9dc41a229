"""`upbring export --as gguf|ollama`: a GGUF file that is checked, a card and a Modelfile."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from upbring import durable
from upbring.data.chat.chat import Chat
from upbring.errors import InputError, UpbringError, format_value
from upbring.export.card_sections import LICENSE_KEYS, find_license
from upbring.export.gguf.chat_metadata import chat_metadata, stop_token_ids
from upbring.export.gguf.compare import LlamaCppComparison, compare_with_llama_cpp
from upbring.export.gguf.llama_cpp import is_installed
from upbring.export.gguf.modelfile import MODELFILE, make_modelfile
from upbring.export.gguf.read_back import check_file
from upbring.export.gguf.write_file import Q8_BLOCK, FileContent, Format, write_file
from upbring.export.gguf.write_tokenizer import tokenizer_metadata
from upbring.export.load_run import load_run, new_folder
from upbring.export.model_card import CardSource, write_export_card
from upbring.export.portable import portable_contract, portable_name
from upbring.model.gguf.architectures import architecture_of_config
from upbring.model.gguf.header import Scalar, require_gguf
from upbring.model.load import LoadedModel
from upbring.model.quantized import make_dense
from upbring.runs.contract import write_contract
from upbring.runs.find_model import GGUF_SUFFIX
from upbring.tracking import Track, no_tracking, track_call

Log = Callable[[str], None]
COMPARED: tuple[Format, ...] = ("float32", "float16")  # whose greedy tokens must be equal


def export_gguf(
    name: str,
    target: Path,
    *,
    dtype: Format,
    library: Literal["gguf", "ollama"],
    log: Log,
    evaluation: Path | None = None,
    track: Track = no_tracking,
) -> None:
    """Write a folder with a GGUF file; a file that cannot be verified is deleted."""
    require_gguf()
    if target.suffix == GGUF_SUFFIX:
        raise InputError(f"{target}: becomes a folder that holds the file; leave out .gguf")
    with new_folder(target) as folder:
        loaded = load_run(name, log=log, track=track)
        _require_language_model(loaded, name)
        make_dense(loaded.model.network)
        content = _content(loaded, name, dtype)
        for warning in content.warnings:
            log(warning)
        file = folder / f"{target.name}{GGUF_SUFFIX}"

        def write_and_check() -> None:
            write_file(file, content)
            _check(file, content, loaded, target=target, log=log)

        track_call(track, f"writing and checking {target}", write_and_check)
        if library == "ollama":
            _write_modelfile(folder, file.name, loaded, content, log=log)
        _write_card(folder, loaded, source=CardSource(name, target.name, library, evaluation))


def _require_language_model(loaded: LoadedModel, name: str) -> None:
    if loaded.head is not None:
        raise InputError(
            f"{name}: is a reward model, which GGUF cannot express; export it with --as classifier"
        )
    if loaded.tokenizer is None:
        raise InputError(f"{name}: has no tokenizer, which a GGUF file needs; add tokenizer.json")


def _content(loaded: LoadedModel, name: str, dtype: Format) -> FileContent:
    """Return what the file is written from; reject what llama.cpp cannot compute."""
    network, tokenizer = loaded.model.network, loaded.tokenizer
    assert tokenizer is not None, "checked before"
    architecture_of_config(network.config, name=name)
    metadata = tokenizer_metadata(tokenizer, loaded.model.vocab_size, name=name)
    warnings = list(metadata.warnings)
    widths = {value.shape[-1] for value in network.state_dict().values() if value.ndim > 1}
    if dtype == "q8_0" and (odd := sorted(width for width in widths if width % Q8_BLOCK)):
        warnings.append(
            f"q8_0: rows of {', '.join(map(str, odd))} values are no multiple of {Q8_BLOCK}, so "
            "these tensors are stored in float16"
        )
    return FileContent(
        network=network,
        tokenizer=metadata,
        chat=chat_metadata(loaded),
        format=dtype,
        general=_general(loaded, name),
        name=name,
        warnings=warnings,
    )


def _general(loaded: LoadedModel, name: str) -> Mapping[str, Scalar | Sequence[str]]:
    """Return the general metadata: names and the licence, without folders of this machine."""
    found: dict[str, Scalar | Sequence[str]] = {"name": portable_name(Path(name).name)}
    license_ = find_license([loaded.base])
    for key in LICENSE_KEYS:
        if isinstance(text := license_.get(key), str):
            found[key.replace("_", ".")] = text
    methods = [] if loaded.contract is None else [each.method for each in loaded.contract.history]
    found["tags"] = ["upbring", *dict.fromkeys(methods)]
    return found


def _check(
    file: Path, content: FileContent, loaded: LoadedModel, *, target: Path, log: Log
) -> None:
    """Read the file again, and compare it with llama.cpp where that can be."""
    assert loaded.tokenizer is not None, "checked before"
    difference = check_file(file, content, loaded.tokenizer)
    size = durable.format_size(file.stat().st_size)
    log(
        f"{target}: {size}, read again: all tensors and tokens are right (values are rounded by at "
        f"most {difference:.1e})"
    )
    if not is_installed():
        log("not compared with llama.cpp; `pip install 'upbring[llama-cpp]'` for that")
        return
    comparison = compare_with_llama_cpp(file, loaded.model, loaded.tokenizer)
    log(comparison.describe())
    _require_equal(comparison, content, target)


def _require_equal(comparison: LlamaCppComparison, content: FileContent, target: Path) -> None:
    if comparison.different_text is not None:
        what = f"{format_value(comparison.different_text)} has other tokens"
    elif comparison.different_prompt is not None and content.format in COMPARED:
        what = f"the greedy continuation of prompt {comparison.different_prompt + 1} is another one"
    else:
        return
    raise UpbringError(
        f"{target}: in llama.cpp {what}, so the export was deleted; please report this"
    )


def _write_modelfile(
    folder: Path, file_name: str, loaded: LoadedModel, content: FileContent, *, log: Log
) -> None:
    """Write the Modelfile, and log what it cannot express."""
    tokenizer = loaded.tokenizer
    assert tokenizer is not None, "checked before"
    chat = None if content.chat.template is None else Chat(tokenizer, content.chat.template)
    texts = {number: text for text, number in tokenizer.special_token_ids.items()}
    stops = [texts[number] for number in stop_token_ids(loaded, chat) if number in texts]
    modelfile = make_modelfile(
        file_name,
        chat=chat,
        stops=stops,
        adds_bos=content.chat.adds_bos,
        context_length=loaded.model.max_positions,
    )
    (folder / MODELFILE).write_text(modelfile.text, encoding="utf-8", newline="")
    for warning in modelfile.warnings:
        log(warning)


def _write_card(folder: Path, loaded: LoadedModel, *, source: CardSource) -> None:
    """Write the card and the contract; a model that upbring did not train has neither."""
    if loaded.contract is None:
        return
    contract = portable_contract(loaded.contract)
    write_export_card(folder, loaded, contract, source=source)
    write_contract(folder / "contract.json", contract)
