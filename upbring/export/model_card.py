"""The README.md of an exported folder: the model card of its run, what it contains, how to load it.

A model folder that was copied without its run has no card; then its contract gives the history.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from upbring.errors import InputError
from upbring.export.card_sections import (
    CARD_FILE,
    evaluation_section,
    find_license,
    find_license_files,
    find_results,
    license_section,
    limits_section,
    read_card,
    training_section,
)
from upbring.export.portable import portable_name, portable_result, portable_text
from upbring.model.load import LoadedModel
from upbring.runs.contract import Contract
from upbring.runs.find_model import find_local_model
from upbring.runs.results import read_results, write_results

Library = Literal["transformers", "peft", "mlx-lm", "gguf", "ollama"]

_LOAD_LINES: dict[tuple[Library, bool], str] = {
    ("transformers", False): "AutoModelForCausalLM.from_pretrained(FOLDER)",
    ("transformers", True): "AutoModelForSequenceClassification.from_pretrained(FOLDER)",
    ("peft", False): "AutoPeftModelForCausalLM.from_pretrained(FOLDER)",
    ("peft", True): "AutoPeftModelForSequenceClassification.from_pretrained(FOLDER, num_labels=1)",
}


@dataclass(frozen=True)
class CardSource:
    """Where a card's content comes from: the model's name, and an evaluation of it."""

    model: str  # as the user calls it
    title: str  # of a card without a run
    library: Library
    evaluation: Path | None = None


def write_export_card(
    folder: Path, loaded: LoadedModel, contract: Contract, *, source: CardSource
) -> None:
    """Write README.md to `folder`, with the results of a reward model and the base's licence.

    The card of the run lies next to its folder `model`.
    """
    if loaded.head is not None and (results := read_results(loaded.folder)):
        write_results(folder, [*map(portable_result, results)])
    bases = [loaded.base, *_original_base(loaded)]
    license_files = next(filter(None, map(find_license_files, bases)), [])
    for file in license_files:
        shutil.copyfile(file, folder / file.name)
    found = find_license(bases)
    metadata, text = read_card(loaded.folder.parent / CARD_FILE)
    sections = [
        _clean(text, loaded) or f"# {source.title}",
        training_section(contract),
        evaluation_section(find_results(source.model, loaded.folder, source.evaluation)),
        *limits_section(contract, text),
        license_section(found, license_files, contract.base),
        _loading_section(source, contract),
    ]
    head = _metadata(metadata, contract, library=source.library) | found
    text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"
    body = "\n\n".join([text, *filter(None, sections)])
    (folder / CARD_FILE).write_text(body + "\n", encoding="utf-8")


def _original_base(loaded: LoadedModel) -> list[Path]:
    """Return the folder that the contract names as the base, if it is here."""
    try:
        folder = find_local_model(loaded.contract.base) if loaded.contract else None
    except InputError:
        folder = None
    return [] if folder is None else [folder]


def _metadata(
    run_metadata: dict[str, object], contract: Contract, *, library: Library
) -> dict[str, object]:
    is_reward = contract.kind == "reward"
    metadata: dict[str, object] = {
        "pipeline_tag": "text-classification" if is_reward else "text-generation",
        "tags": ["upbring", *(stage.method for stage in contract.history[-1:])],
        **run_metadata,
        "base_model": contract.base,
        "library_name": {"mlx-lm": "mlx", "ollama": "gguf"}.get(library, library),
    }
    if isinstance(files := metadata.get("datasets"), list):
        metadata["datasets"] = [portable_name(str(file)) for file in files]
    return metadata


def _clean(text: str, loaded: LoadedModel) -> str:
    """Return the text of a run's card without the folders of this machine."""
    contract = loaded.contract
    names = [contract.base] if contract else []
    names += [each.file for stage in contract.history for each in stage.data] if contract else []
    return portable_text(text, names)


def _loading_section(source: CardSource, contract: Contract) -> str:
    """Return how to load the folder."""
    commands = {
        "mlx-lm": f"mlx_lm.generate --model {contract.base} --adapter-path . --prompt Hello",
        "gguf": f"llama-cli -m {source.title}.gguf",
        "ollama": f"ollama create {source.title} -f Modelfile\nollama run {source.title}",
    }
    if command := commands.get(source.library):
        return f"## Use\n\n```sh\n{command}\n```"
    return _python_section(source.library, is_reward=contract.kind == "reward")


def _python_section(library: Library, *, is_reward: bool) -> str:
    """Return the code that loads the folder; a reward model's score is its only logit."""
    load = _LOAD_LINES[library, is_reward]
    lines = [
        f"from {library} import {load.partition('.')[0]}",
        "from transformers import AutoTokenizer",
        "",
        'FOLDER = "."  # this folder',
        f"model = {load}",
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
        'messages = [{"role": "user", "content": "Hello!"}]',
    ]
    encode = "tokenizer.apply_chat_template(messages, {}return_tensors='pt', return_dict=True)"
    if is_reward:
        lines[-1] = lines[-1].replace("}]", '}, {"role": "assistant", "content": "Hi."}]')
        lines += [f"inputs = {encode.format('')}", "print(model(**inputs).logits)"]
    else:
        lines += [
            f"inputs = {encode.format('add_generation_prompt=True, ')}",
            "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))",
        ]
    code = "\n".join(lines).replace("'pt'", '"pt"')
    return f"## Use\n\n```python\n{code}\n```"
