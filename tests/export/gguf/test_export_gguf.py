"""`upbring export --as gguf|ollama`: what is written, and what is rejected."""

import json
from pathlib import Path

import pytest

from tests.commands import Answer, done, upbring
from tests.gguf_models import KINDS, file_content, load_kind, make_kind
from tests.rankings import make_rankings
from tests.small import make_demonstrations
from upbring.errors import UpbringError
from upbring.export.gguf import export_gguf as module
from upbring.export.gguf.compare import LlamaCppComparison
from upbring.export.gguf.write_tokenizer import NFC
from upbring.model.gguf.header import read_header

gguf = pytest.importorskip("gguf")
QUICK = ("--steps", "2", "--batch-size", "2", "--sample-tokens", "2", "--threads", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind, and a run."""
    folder = tmp_path_factory.mktemp("home")
    for kind in KINDS:
        make_kind(folder / kind, kind)
    (folder / "llama" / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Base\n")
    make_demonstrations(folder / "d.jsonl", 12)
    path = str(folder / "llama")
    done(folder, "sft", "d.jsonl", "--model", path, "--name", "one", *QUICK)
    return folder


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as without llama.cpp, whether it is installed here or not."""
    monkeypatch.setattr(module, "is_installed", lambda: False)


def exported(home: Path, name: str, to: str, *words: str) -> Answer:
    return done(home, "export", name, "--to", to, "--as", *words)


def test_a_run_is_exported_with_its_card_and_its_template(home: Path) -> None:
    answer = exported(home, "runs/one", "out/one", "gguf")
    assert "out/one: " in answer.err
    assert "read again: all tensors and tokens are right" in answer.err
    assert "not compared with llama.cpp; `pip install 'upbring[llama-cpp]'` for that" in answer.err
    folder = home / "out" / "one"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "contract.json",
        "manifest.json",
        "one.gguf",
    ]
    file = read_header(folder / "one.gguf")
    assert file.metadata["general.license"] == "apache-2.0"
    assert file.metadata["general.name"] == "one"
    assert file.metadata["general.tags"] == ["upbring", "sft"]
    assert "<|im_start|>" in str(file.metadata["tokenizer.chat_template"])
    assert file.metadata["tokenizer.ggml.add_bos_token"] is False
    assert file.metadata["tokenizer.ggml.eot_token_id"] == 3  # <|im_end|>
    card = (folder / "README.md").read_text()
    for text in ("library_name: gguf", "llama-cli -m one.gguf", "## Limits", "apache-2.0"):
        assert text in card
    assert "d.jsonl" in card
    for path in (folder / "README.md", folder / "contract.json", folder / "one.gguf"):
        assert str(home).encode() not in path.read_bytes()


def test_ollama_gets_a_modelfile(home: Path) -> None:
    exported(home, "runs/one", "out/two", "ollama", "--dtype", "float16")
    lines = (home / "out" / "two" / "Modelfile").read_text()
    assert lines.startswith('FROM ./two.gguf\nTEMPLATE """{{ range $i, $_ := .Messages }}')
    assert lines.endswith(
        'PARAMETER stop "<|im_end|>"\nPARAMETER stop "<|end|>"\nPARAMETER num_ctx 256\n'
    )
    assert "ollama create two -f Modelfile" in (home / "out" / "two" / "README.md").read_text()


def test_rows_that_do_not_fit_eight_bits_are_reported(home: Path) -> None:
    answer = exported(home, "builtin:sprout", "out/eight", "gguf", "--dtype", "q8_0")
    assert "q8_0: rows of 432 values are no multiple of 32, so these tensors are stored" in (
        answer.err
    )
    tensors = read_header(home / "out" / "eight" / "eight.gguf").tensors
    types = {name: gguf.GGMLQuantizationType(each.type_id).name for name, each in tensors.items()}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"
    assert types["output_norm.weight"] == "F32"
    assert "output.weight" not in types  # tied


def test_a_base_model_continues_text_in_ollama(home: Path) -> None:
    exported(home, "builtin:sprout", "out/base", "ollama")
    modelfile = (home / "out" / "base" / "Modelfile").read_text()
    assert modelfile == (
        'FROM ./base.gguf\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER stop "<|endoftext|>"\n'
        "PARAMETER num_ctx 512\n"
    )
    file = read_header(home / "out" / "base" / "base.gguf")
    assert file.metadata["tokenizer.ggml.add_bos_token"] is True
    assert file.metadata["tokenizer.ggml.pre"] == "gpt-2"


def test_what_llama_cpp_does_not_normalize_is_reported(home: Path) -> None:
    assert NFC in exported(home, "qwen2", "out/qwen2", "gguf").err


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_tokenizer(folder: Path, **changes: object) -> None:
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text())
    for name, value in changes.items():
        document[name] = {**(document[name] or {}), **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(document))


DIGITS = {"type": "Digits", "individual_digits": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
UNKNOWN_SPLIT = {"type": "Sequence", "pretokenizers": [DIGITS, BYTES]}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}


@pytest.mark.parametrize(
    ("kind", "config", "tokenizer", "expected"),
    [
        ("llama", {"hidden_act": "gelu"}, {}, "m: has the activation gelu, which llama.cpp does"),
        ("llama", {"rope_parameters": YARN}, {}, "m: has the rotary scaling yarn, which llama.cpp"),
        ("gemma3", {"query_pre_attn_scalar": 9}, {}, "m: has the attention scale 9, which"),
        ("gemma3", {"final_logit_softcapping": 9.0}, {}, "m: has soft-capped logits, which"),
        ("gemma3", {"layer_types": ["full_attention"] * 6}, {}, "m: has another order of its"),
        ("llama", {}, {"pre_tokenizer": UNKNOWN_SPLIT}, "splits text in a way that llama.cpp has"),
        ("llama", {}, {"model": {"ignore_merges": True}}, "splits text in a way that llama.cpp"),
        ("llama", {}, {"normalizer": {"type": "Lowercase"}}, "its tokenizer normalizes text"),
        ("gemma3", {}, {"normalizer": {"type": "NFKC"}}, "prepares text in a way that llama.cpp"),
        ("gemma3", {}, {"model": {"byte_fallback": False}}, "has no tokens for single bytes"),
    ],
)
def test_what_llama_cpp_would_read_otherwise_is_rejected(
    tmp_path: Path,
    kind: str,
    config: dict[str, object],
    tokenizer: dict[str, object],
    expected: str,
) -> None:
    make_kind(tmp_path / "m", kind)
    change_config(tmp_path / "m", **config)
    change_tokenizer(tmp_path / "m", **tokenizer)
    answer = upbring(tmp_path, "export", "m", "--to", "out", "--as", "gguf")
    assert answer.code == 2
    assert expected in answer.err
    assert "convert_hf_to_gguf.py" in answer.err or "upbring serve" in answer.err
    assert not (tmp_path / "out").exists()


def test_merges_without_an_order_of_tokens_are_rejected(tmp_path: Path) -> None:
    make_kind(tmp_path / "m", "gemma3")
    merges = json.loads((tmp_path / "m" / "tokenizer.json").read_text())["model"]["merges"]
    change_tokenizer(tmp_path / "m", model={"merges": [*merges[1:], merges[0]][: len(merges) // 2]})
    answer = upbring(tmp_path, "export", "m", "--to", "out", "--as", "gguf")
    assert "has merges that no scores can express (token " in answer.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("out/x.gguf", "--as", "gguf"), "out/x.gguf: becomes a folder that holds the file; leave"),
        (("out/x", "--dtype", "q8_0"), "--dtype: q8_0 is for GGUF files; add --as gguf or --as"),
    ],
)
def test_a_wrong_combination_is_reported(home: Path, words: tuple[str, ...], expected: str) -> None:
    answer = upbring(home, "export", "runs/one", "--to", *words)
    assert answer.code == 2
    assert answer.err.startswith(expected)


def test_a_reward_model_is_rejected(home: Path) -> None:
    make_rankings(home / "r.jsonl")
    path = str(home / "llama")
    words = ("--steps", "1", "--batch-size", "2", "--threads", "1", "--name", "reward")
    done(home, "reward", "r.jsonl", "--model", path, *words)
    answer = upbring(home, "export", "runs/reward", "--to", "out/reward", "--as", "gguf")
    assert answer.code == 2
    assert "is a reward model, which GGUF cannot express; export it with --as classifier" in (
        answer.err
    )


@pytest.mark.parametrize(
    ("dtype", "text", "prompt", "expected"),
    [
        ("float32", None, None, None),
        ("q8_0", None, 3, None),
        ("float16", None, 3, "the greedy continuation of prompt 4 is another one"),
        ("q8_0", "a1", None, "'a1' has other tokens"),
    ],
)
def test_an_export_that_llama_cpp_reads_otherwise_is_deleted(
    home: Path, dtype: str, text: str | None, prompt: int | None, expected: str | None
) -> None:
    content = file_content(load_kind(home / "llama"), dtype)  # type: ignore[arg-type]
    comparison = LlamaCppComparison(200, text, 8, 0, prompt, 256, 0.1, 0.01, 200, 8)
    if expected is None:
        module._require_equal(comparison, content, Path("out"))
    else:
        with pytest.raises(UpbringError, match=expected):
            module._require_equal(comparison, content, Path("out"))
