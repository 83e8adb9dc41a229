"""The training of one round of hardening: DPO on the pairs, or SFT on their chosen responses."""

from pathlib import Path

from upbring.runs.run_folder import Run
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.resolve import resolve
from upbring.stages.redteam.make_pairs import DEMONSTRATIONS
from upbring.stages.registry import find_method, load_settings
from upbring.stages.train_or_resume import resume_training, train


def train_round(settings: HardenSettings, pairs: Path, *, model: str, number: int) -> Run:
    """Return the finished run of a round; a run that was stopped is resumed."""
    folder = pairs.parent / settings.method
    if folder.exists():
        run = Run.open(folder)
        return run if run.status() == "finished" else resume_training(run)
    data = pairs if settings.method == "dpo" else pairs.with_name(DEMONSTRATIONS)
    flags: dict[str, object] = {
        "model": model,
        "data": (data,),
        "mix": settings.mix,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "final_weights": "last",
        "held_out_share": 0.0,
        "seed": settings.seed + number,
        "dtype": settings.dtype,
        "device": settings.device,
        "threads": settings.threads,
        "runs": pairs.parent,
        "name": settings.method,
    }
    if settings.method == "dpo":
        flags |= {"beta": settings.beta, "nll_weight": settings.nll_weight}
    method_settings = load_settings(find_method(settings.method))
    return train(settings.method, resolve(method_settings, section=settings.method, flags=flags))
