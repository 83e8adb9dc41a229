import pytest

from tests.families import family
from upbring.model.adapter_notes import adapter_notes
from upbring.model.roles import Roles
from upbring.settings.model import AdapterSettings


def notes(settings: AdapterSettings) -> list[str]:
    roles = Roles(family("llama"))
    roles.add_adapter("policy", settings, seed=0)
    return list(adapter_notes(roles, "policy", settings))


def test_a_rank_above_the_smallest_adapted_matrix_is_reported() -> None:
    # q_proj of the test model is 32 × 32, k_proj 16 × 32
    assert notes(AdapterSettings(rank=16, target_modules="q_proj,k_proj")) == []
    (note,) = notes(AdapterSettings(rank=17, target_modules="q_proj,k_proj"))
    assert note.startswith("rank: 17 is above the smallest side of 2 of 4 adapted matrices (16 in ")
    assert note.endswith("use rank 16 or less")


@pytest.mark.parametrize(("dora", "count"), [(False, 0), (True, 1)])
def test_dora_names_its_cost(dora: bool, count: int) -> None:  # noqa: FBT001 -- a parameter
    found = notes(AdapterSettings(rank=2, dora=dora))
    assert [note.split(":")[0] for note in found] == ["dora"] * count
