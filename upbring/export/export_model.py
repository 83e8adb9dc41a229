"""Exports a run in the format that the settings ask for, and reports what was verified."""

from collections.abc import Callable

from upbring.errors import InputError
from upbring.export.export_adapter import export_adapter
from upbring.export.export_merged import DTYPES, export_merged
from upbring.export.file_size import parse_size
from upbring.export.gguf.export_gguf import export_gguf
from upbring.export.mlx_models import check_mlx_model
from upbring.export.verify import check_export
from upbring.model.load import locate_model_files
from upbring.runs.contract import read_contract
from upbring.settings.commands.export import ExportSettings
from upbring.tracking import Track, no_tracking


def export_model(
    settings: ExportSettings,
    *,
    log: Callable[[str], None],
    track: Track = no_tracking,
    check: Callable[..., float] = check_export,
) -> None:
    """Write the folder `settings.to`; if it cannot be verified, there is none."""
    is_reward = _is_reward_model(settings.run)
    if settings.as_ == "classifier" and not is_reward:
        raise InputError(
            f"{settings.run}: is not a reward model, so there is no classifier; export it with "
            "--as merged"
        )
    if settings.as_ in {"gguf", "ollama"}:
        export_gguf(
            settings.run,
            settings.to,
            dtype=settings.dtype,
            library="ollama" if settings.as_ == "ollama" else "gguf",
            evaluation=settings.evaluation,
            log=log,
            track=track,
        )
        return
    if settings.dtype == "q8_0":
        raise InputError("--dtype: q8_0 is for GGUF files; add --as gguf or --as ollama")
    if settings.as_ == "mlx":
        check_mlx_model(settings.run, is_reward=is_reward, log=log)
    max_shard_bytes = parse_size(settings.shard_size, setting="--shard-size")
    if settings.as_ in {"peft", "mlx-adapter"}:
        library = "peft" if settings.as_ == "peft" else "mlx-lm"
        difference = export_adapter(
            settings.run,
            settings.to,
            library="peft" if settings.as_ == "peft" else "mlx-lm",
            evaluation=settings.evaluation,
            log=log,
            track=track,
            check=check,
        )
    else:
        library = "transformers"
        difference = export_merged(
            settings.run,
            settings.to,
            dtype=DTYPES[settings.dtype],
            max_shard_bytes=max_shard_bytes,
            evaluation=settings.evaluation,
            log=log,
            track=track,
            check=check,
        )
    what = "scores" if is_reward else "log-probabilities"
    log(f"{settings.to}: verified with {library}; {what} differ by at most {difference:.1e}")


def _is_reward_model(name: str) -> bool:
    """Whether a model is a reward model that upbring trained."""
    file = locate_model_files(name).folder / "contract.json"
    return file.is_file() and read_contract(file).kind == "reward"
