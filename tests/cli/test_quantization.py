"""A pipeline on 4-bit weights: train, stop, resume, continue, evaluate, export."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests import small
from tests.commands import QUICK, curve, done, hashes, upbring
from tests.preferences import make_rankings
from tests.quantization import needs_bitsandbytes
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import make_tree
from upbring.model.load import load
from upbring.model.quantized import quantized_layers
from upbring.model.score import score_tokens
from upbring.runs.contract import read_contract
from upbring.train.loop import Trainer

pytestmark = needs_bitsandbytes

NO_SAMPLES = tuple(
    w for i, w in enumerate(QUICK) if "--sample-tokens" not in QUICK[max(0, i - 1) : i + 1]
)
ON_4_BITS = (*QUICK, "--load-in-4bit", "true")
SFT = ("sft", "d.jsonl", "--model", "m", *ON_4_BITS)
TOKENS = [3, 40, 77, 120, 9, 200, 55, 31]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an SFT, a reward, a DPO and a PPO run on 4-bit weights."""
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m", hidden_size=64)
    small.make_demonstrations(folder / "d.jsonl", 12)
    make_rankings(folder / "r.jsonl", 16)
    done(folder, *SFT)
    done(folder, "reward", "r.jsonl", "--model", "runs/sft-1", *NO_SAMPLES)
    return folder


def logprobs(folder: Path, name: str, *, quantization: str = "auto") -> torch.Tensor:
    loaded = load(
        str(folder / name),
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        quantization=quantization,  # type: ignore[arg-type]  # one of its values
        log=lambda _: None,
    )
    batch = make_batch([make_tree(TOKENS[:1], TOKENS[1:])])
    with torch.no_grad():
        return score_tokens(loaded.model, batch).logprobs


def test_a_run_notes_its_bits_and_what_follows_uses_them(home: Path) -> None:
    for run in ("sft-1", "reward-1"):
        assert read_contract(home / "runs" / run / "model" / "contract.json").quantization == "nf4"
    plain = logprobs(home, "runs/sft-1", quantization="none")
    assert not torch.allclose(logprobs(home, "runs/sft-1"), plain, atol=1e-3)


def test_a_stopped_run_resumes_bit_for_bit(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").symlink_to(home / "m")
    (tmp_path / "d.jsonl").symlink_to(home / "d.jsonl")
    take = Trainer._train_step

    def stop_once(self: Trainer, batches: Sequence[Batch]) -> dict[str, float]:
        if self.step == 3:
            monkeypatch.setattr(Trainer, "_train_step", take)
            signal.raise_signal(signal.SIGTERM)
        return take(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", stop_once)
    assert upbring(tmp_path, *SFT).code == 143
    done(tmp_path, "resume", "runs/sft-1")
    one, other = home / "runs" / "sft-1", tmp_path / "runs" / "sft-1"
    name = "adapter_model.safetensors"
    assert hashes(one / "model")[name] == hashes(other / "model")[name]
    assert curve(one) == curve(other)


def test_preferences_and_rl_share_the_4_bit_base(home: Path) -> None:
    words = ("--model", "runs/sft-1", *QUICK, "--steps", "2", "--sample-tokens", "2")
    done(home, "dpo", "r.jsonl", *words)
    answer = done(
        home,
        "ppo",
        "d.jsonl",
        *words,
        "--reward-model",
        "runs/reward-1",
        "--max-response-length",
        "6",
        "--eval-prompts",
        "2",
    )
    assert "loaded separately" not in answer.err
    for run in ("dpo-1", "ppo-1"):
        assert read_contract(home / "runs" / run / "model" / "contract.json").quantization == "nf4"


def test_chat_and_evaluation_run_on_it(home: Path) -> None:
    assert done(
        home, "chat", "runs/sft-1", "--prompt", "What is the sky like?", "--max-tokens", "4"
    )
    (home / "e.jsonl").write_text('{"text": "The sky is blue and number 3."}\n' * 4)
    few = ("--limit", "4", "--max-tokens", "4", "--threads", "1", "--to", "e")
    done(home, "evaluate", "m", "runs/sft-1", "--data", "e.jsonl", "--suite", "forgetting", *few)
    results = (home / "e" / "results.json").read_text()
    assert "runs/sft-1" in results


def test_an_adapter_is_exported_for_the_original_base(home: Path) -> None:
    answer = done(home, "export", "runs/sft-1", "--as", "peft", "--to", "adapter")
    assert "was trained on nf4 weights; on the original weights log-probabilities" in answer.err
    base = AutoModelForCausalLM.from_pretrained(home / "m", dtype=torch.float32)
    network = PeftModel.from_pretrained(base, home / "adapter").eval()
    found = network(torch.tensor([TOKENS])).logits[0].log_softmax(-1)[:-1]
    found = found.gather(-1, torch.tensor(TOKENS[1:])[:, None]).squeeze(-1)
    expected = logprobs(home, "runs/sft-1", quantization="none")
    assert torch.allclose(found, expected, atol=1e-4)


def test_merged_weights_are_the_4_bit_ones_with_the_adapter(home: Path) -> None:
    answer = done(home, "export", "runs/sft-1", "--to", "merged")
    assert "log-probabilities differ by at most" in answer.err
    network = AutoModelForCausalLM.from_pretrained(home / "merged", dtype=torch.float32).eval()
    found = network(torch.tensor([TOKENS])).logits[0].log_softmax(-1)[:-1]
    found = found.gather(-1, torch.tensor(TOKENS[1:])[:, None]).squeeze(-1)
    assert torch.allclose(found, logprobs(home, "runs/sft-1"), atol=1e-4)
    assert not quantized_layers_of(home / "merged")


def quantized_layers_of(folder: Path) -> list[str]:
    loaded = load(
        str(folder), device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    return [name for name, _ in quantized_layers(loaded.model.network)]


def test_the_plan_counts_four_bits_for_each_weight(home: Path) -> None:
    plain = done(home, "plan", *SFT[:4], *QUICK)
    few = done(home, "plan", *SFT)
    assert few.out.splitlines()[0] == plain.out.splitlines()[0]  # the trainable share


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--tune", "full"), "quantization: nf4 weights are frozen"),
        (("--dora",), "quantization: DoRA is not available"),
    ],
)
def test_impossible_combinations_are_one_message(
    home: Path, words: tuple[str, ...], expected: str
) -> None:
    answer = upbring(home, *SFT, *words)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(expected)
