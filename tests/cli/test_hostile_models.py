"""No command reads a pickle, runs code or opens a foreign file for a hostile model folder."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import done, prepare, upbring
from tests.preferences import make_labels, make_rankings
from tests.rewarded import make_reward
from tests.traced import tracing

QUICK = ("--steps", "1", "--batch-size", "2", "--dtype", "float32", "--threads", "1")
SHORT = ("--max-response-length", "3", "--rule", "is_json")
METHODS = ("sft", "dpo", "ipo", "kto", "orpo", "simpo", "reward", "ppo", "grpo", "rloo")
DATA = {"kto": "l.jsonl", "sft": "d.jsonl", "ppo": "d.jsonl", "grpo": "d.jsonl", "rloo": "d.jsonl"}


class Payload:
    """An object whose pickle leaves a file when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pickle-was-read",)


def make_pickle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(Payload()))


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def index_naming(name: str, *, first: str | None = None) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        make_pickle(folder / name)
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        names = {"model.embed_tokens.weight": first or name, "model.norm.weight": name}
        edit(folder / "model.safetensors.index.json", metadata={}, weight_map=names)

    return make


def config_with(**changes: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        make_pickle(folder / "evil.bin")
        (folder / "evil.py").unlink(missing_ok=True)
        edit(folder / "config.json", **changes)

    return make


def only_pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    make_pickle(folder / "pytorch_model.bin")


def pickled_under_a_safe_name(folder: Path) -> None:
    make_pickle(folder / "model.safetensors")


def other_index(folder: Path) -> None:
    config_with(transformers_weights="evil.safetensors.index.json")(folder)
    edit(folder / "evil.safetensors.index.json", metadata={}, weight_map={"x": "evil.bin"})


def code_beside(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("import os; os.mkdir('pickle-was-read')")


def vocabulary_elsewhere(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    make_pickle(folder.parent / "evil.bin")
    edit(folder / "tokenizer_config.json", vocab_file="../evil.bin", tokenizer_class=None)
    (folder / "vocab.txt").write_text("a\n")


def adapter_on(base: str, **changes: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        shutil.rmtree(folder)
        make_reward(folder.parent / "m", folder)
        edit(folder / "adapter_config.json", base_model_name_or_path=base, **changes)

    return make


def adapter_on_a_hostile_base(folder: Path) -> None:
    base = folder.parent / "hostile-base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(folder.parent / "m", base)
    index_naming("evil.bin")(base)
    adapter_on("hostile-base")(folder)


def pickled_adapter(folder: Path) -> None:
    adapter_on("m")(folder)
    (folder / "adapter_model.safetensors").rename(folder / "other.safetensors")
    make_pickle(folder / "adapter_model.bin")


READS_NO_WEIGHTS = {"check", "plan"}  # so what is wrong with them need not be noticed
HOSTILE: dict[str, Callable[[Path], None]] = {
    "index names only a pickle": index_naming("pytorch_model.bin"),
    "index names a pickle": index_naming("pytorch_model.bin", first="model-1.safetensors"),
    "index names a subfolder": index_naming("sub/evil.safetensors"),
    "index names a parent": index_naming("../evil.safetensors"),
    "config names an index": other_index,
    "config names code": config_with(auto_map={"AutoModelForCausalLM": "evil.Model"}),
    "part of config names code": config_with(text_config={"auto_map": {"AutoModel": "evil.M"}}),
    "config names a kernel": config_with(attn_implementation="evil/kernel"),
    "only a pickle": only_pickled,
    "a pickle with a safe name": pickled_under_a_safe_name,
    "code in the folder": code_beside,
    "a vocabulary elsewhere": vocabulary_elsewhere,
    "an adapter on a hostile base": adapter_on_a_hostile_base,
    "an adapter that imports a module": adapter_on(
        "m", megatron_config={"a": 1}, megatron_core="x"
    ),
    "a pickled adapter": pickled_adapter,
}


def typed_commands(model: str) -> list[tuple[str, ...]]:
    """Return every command that reads a model, as typed."""
    trained = [
        (name, DATA.get(name, "r.jsonl"), "--model", model, *QUICK)
        + (SHORT if name in {"ppo", "grpo", "rloo"} else ())
        for name in METHODS
    ]
    rewarded = ("ppo", "d.jsonl", "--model", "m", *QUICK, *SHORT)
    return [
        *trained,
        ("pretrain", "t.jsonl", "--model", model, *QUICK, "--tune", "full"),
        ("plan", "sft", "d.jsonl", "--model", model),
        (*rewarded, "--reward-model", model),
        (*rewarded, "--reward-model", "reward", "--judge", model),
        ("check", "d.jsonl", "--model", model),
        ("chat", model, "--prompt", "Hello"),
        ("export", model, "--to", "exported"),
        ("export", model, "--to", "exported", "--as", "peft"),
        ("score", "r.jsonl", "--model", model),
        ("evaluate", model, "--suite", "forgetting", "--data", "t.jsonl", "--to", "evaluated"),
        ("run", f"{model}.yaml", "--to", "pipeline"),
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    make_labels(folder / "l.jsonl")
    make_rankings(folder / "r.jsonl")
    make_reward(folder / "m", folder / "reward")
    for name in ("plain", "hostile"):
        recipe = f"model: {name}\nstages:\n  sft: {{data: d.jsonl, steps: 1}}\n"
        (folder / f"{name}.yaml").write_text(recipe)
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_no_command_reads_a_pickle_or_runs_code(home: Path, name: str) -> None:
    folder = home / "hostile"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home / "m", folder)
    HOSTILE[name](folder)
    forbidden = {path.resolve() for path in home.rglob("*") if path.suffix in {".bin", ".py"}}
    forbidden |= {path.resolve() for path in home.rglob("evil.safetensors")}
    for words in typed_commands("hostile"):
        with tracing() as trace:
            answer = upbring(home, *words)
        where = f"{' '.join(words)}: {answer.err}"
        assert trace.pickles == [], where
        assert not forbidden & set(trace.opened), where
        assert not (home / "pickle-was-read").exists(), where
        assert answer.code == 2 or (answer.code == 0 and words[0] in READS_NO_WEIGHTS), where
        assert "bug in upbring" not in answer.err, where


def test_the_trace_notices_pickles_and_files(tmp_path: Path) -> None:
    make_pickle(tmp_path / "x.bin")
    with tracing() as trace:
        data = (tmp_path / "x.bin").read_bytes()
        with pytest.raises(AssertionError, match="a pickle was read"):
            pickle.loads(data)  # noqa: S301 -- what the trace must notice
    assert trace.pickles
    assert (tmp_path / "x.bin").resolve() in trace.opened


def test_the_same_commands_work_on_ordinary_models(home: Path) -> None:
    """Otherwise they could be refused for another reason."""
    shutil.copytree(home / "m", home / "plain")
    done(home, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    for words in typed_commands("plain"):
        target = words
        if words[0] == "score" or "--reward-model" in words:
            target = tuple("reward" if word == "plain" else word for word in words)
        elif words[0] == "export":
            target = tuple("runs/a" if word == "plain" else word for word in words)
            shutil.rmtree(home / "exported", ignore_errors=True)
        done(home, *target)
