"""Settings of the model, the device and the LoRA adapter."""

from typing import Literal

from upbring.settings.schema import Settings, setting


class ModelSettings(Settings):
    """The initial model, and the dtype and device to run it on."""

    model: str = setting(
        help="Initial model: a directory, a run, a Hugging Face hub id, or a builtin: name.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        help="Data type of the frozen weights and of matrix multiplications. auto uses bfloat16 "
        "where the hardware supports it natively.",
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="Device to run on. auto uses a GPU if there is one."
    )
    quantization: Literal["auto", "none", "nf4", "int8"] = setting(
        "auto",
        help="Store the frozen weights of linear layers in 4 bits (nf4, as in QLoRA) or 8 bits "
        "(int8). auto: as the model's adapter was trained, else none. Needs "
        "upbring[quantization].",
    )
    threads: int | None = setting(
        None,
        ge=1,
        help="Number of CPU threads. Unset: OMP_NUM_THREADS, or one per CPU core that this process "
        "may use.",
    )


class AdapterSettings(Settings):
    """The trained weights: a LoRA adapter on the frozen base model, or all weights."""

    tune: Literal["lora", "full"] = setting(
        "lora", help="Train a LoRA adapter (lora), or all weights of the model (full)."
    )
    rank: int = setting(16, ge=1, help="LoRA rank r.")
    alpha: float = setting(
        32.0, gt=0, help="LoRA alpha: the adapter's output is multiplied by alpha / rank."
    )
    target_modules: str = setting(
        "auto",
        help="Modules that get an adapter: auto or all-linear (all linear layers except the head), "
        "or names separated by commas, such as q_proj,v_proj.",
    )
    rslora: bool = setting(
        default=False, help="rsLoRA: scale by alpha / √rank instead (arXiv 2312.03732)."
    )
    dora: bool = setting(
        default=False, help="DoRA: train magnitudes and directions separately (arXiv 2402.09353)."
    )
