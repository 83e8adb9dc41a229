import pytest
import torch

from tests.families import FAMILIES, family
from upbring.model.in_dtype import in_dtype


@pytest.mark.parametrize("name", FAMILIES)
def test_float32_copies_of_weights_leave_no_trace(name: str) -> None:
    network = family(name).to(torch.bfloat16)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    exact = family(name).to(torch.bfloat16).float()
    tokens = torch.arange(3, 20)[None]
    with torch.no_grad():
        with in_dtype(network, torch.float32):
            found = network(input_ids=tokens).logits
        assert torch.allclose(found, exact(input_ids=tokens).logits, atol=1e-4)
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert {t.dtype for t in network.parameters()} == {torch.bfloat16}
