"""DPO with a hinge loss: registered here, without importing torch."""

from upbring.stages.registry import Method

METHOD = Method(
    name="hinge-dpo",
    help="DPO with the hinge loss of SLiC.",
    settings="upbring_hinge_dpo.settings:HingeDpoSettings",
    learns_from="comparisons",
    makes="policy",
    algorithm="upbring_hinge_dpo.algorithm:HINGE_DPO",
    panels=("loss", "accuracy"),
    example="upbring hinge-dpo pairs.jsonl --model runs/sft-1",
)
