"""The program that reads an export imports nothing of upbring, and adds adapters of mlx-lm."""

import ast
from pathlib import Path

import pytest
import torch

from tests.export.exports import TEXTS, Exported
from tests.tolerances import LOGPROBS
from upbring.export import plain_outputs
from upbring.export.plain_outputs import compute_outputs, encode_all, load_network


def test_it_imports_nothing_of_upbring() -> None:
    tree = ast.parse(Path(plain_outputs.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {str(getattr(node, "module", "")) for node in imports}
    names |= {alias.name for node in imports for alias in node.names}
    assert not [name for name in names if name.startswith("upbring")]


def test_an_adapter_of_mlx_lm_is_added_to_the_weights(exported: Exported) -> None:
    folder = exported.folder
    job = {
        "folder": str(folder / "out" / "mlx-two"),
        "base": str(folder / "m"),
        "library": "mlx-lm",
        "is_reward": False,
    }
    network = load_network(job)
    outputs = [compute_outputs(network, text, is_reward=False) for text in TEXTS]
    found = torch.cat([each[: len(text) - 1] for each, text in zip(outputs, TEXTS, strict=True)])
    assert found.tolist() == pytest.approx(exported.upbring_logprobs("two"), abs=LOGPROBS)
    assert {each.shape[0] - len(text) + 1 for each, text in zip(outputs, TEXTS, strict=True)} == {
        320
    }


def test_texts_and_dialogues_are_encoded_with_the_tokenizer_of_the_folder(
    exported: Exported,
) -> None:
    folder = str(exported.folder / "out" / "merged-two")
    dialogue = [{"role": "user", "content": "Hello!"}]
    tokens = encode_all({"folder": folder, "texts": ["Hello!"], "dialogues": [dialogue]})
    assert len(tokens) == 2
    assert len(tokens[1]) > len(tokens[0]) > 0
    assert encode_all({"folder": "none", "texts": [], "dialogues": []}) == []
