"""Which model, on what, and which of its weights learn."""

from typing import Literal

from upbring.settings.schema import Settings, setting


class ModelSettings(Settings):
    """The model to start from and the machine that it runs on."""

    model: str = setting(
        help="Model to start from: a directory, a run, a hub id, or a builtin: name.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        help="Number format of the weights that do not learn and of the matrix products. "
        "auto takes bfloat16 where the processor multiplies it natively.",
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="Where to compute. auto takes a GPU when there is one."
    )
    threads: int | None = setting(
        None, ge=1, help="Processor threads. Unset: one per processor that this process may use."
    )


class AdapterSettings(Settings):
    """Which weights learn: a LoRA adapter on the frozen base, or all of them."""

    tune: Literal["lora", "full"] = setting(
        "lora", help="Train a LoRA adapter, or every weight of the model (full)."
    )
    rank: int = setting(16, ge=1, help="Rank r of the adapter's matrices.")
    alpha: float = setting(
        32.0, gt=0, help="Scale of the adapter: its output is multiplied by alpha / rank."
    )
    target_modules: str = setting(
        "auto",
        help="Layers that get an adapter: auto or all-linear (every linear layer but the head), "
        "or names separated by commas, such as q_proj,v_proj.",
    )
    rslora: bool = setting(default=False, help="Scale by alpha / √rank instead (arXiv 2312.03732).")
    dora: bool = setting(
        default=False, help="Learn magnitudes apart from directions (DoRA, arXiv 2402.09353)."
    )
