import pytest
import torch

from upbring.model.attention import AttentionConfig
from upbring.serve.engine.kv_pools import KVPools, KVSpec
from upbring.serve.engine.step_layout import Span, make_step_layout, order_spans

HEADS, SHARED_HEADS, WIDTH = 4, 2, 8


def naive_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, config: AttentionConfig
) -> torch.Tensor:
    """Return `[H, K]` in float64 of one query `[H, K]` over k and v `[Hkv, S, K]`."""
    S = k.shape[1]
    out = torch.empty(HEADS, WIDTH, dtype=torch.float64)
    for head in range(HEADS):
        keys = k[head // (HEADS // SHARED_HEADS)].double()
        values = v[head // (HEADS // SHARED_HEADS)].double()
        scores = keys @ q[head].double() * config.scaling
        if config.softcap is not None:
            scores = config.softcap * torch.tanh(scores / config.softcap)
        if config.window is not None:
            scores[: max(0, S - config.window)] = -torch.inf
        out[head] = scores.softmax(0) @ values
    return out


@pytest.mark.parametrize(
    "config",
    [
        AttentionConfig(0.3),
        AttentionConfig(0.3, window=5),
        AttentionConfig(0.3, softcap=2.0),
    ],
)
def test_a_mixed_step_attends_like_each_sequence_alone(config: AttentionConfig) -> None:
    generator = torch.Generator().manual_seed(1)
    shape = (SHARED_HEADS, WIDTH, WIDTH)
    spec = KVSpec((config,), (shape,), torch.float32, torch.device("cpu"))
    pools = KVPools(spec, max_tokens=20_000, max_length=1024)
    lengths = [(9, 1), (300, 1), (0, 7), (3, 1), (20, 300), (12, 1)]  # before, in this step
    all_keys, all_values, spans = [], [], []
    for start, count in lengths:
        slot = pools.allocate(start + count)
        assert slot is not None
        k, v = torch.randn(2, SHARED_HEADS, start + count, WIDTH, generator=generator)
        slot.pool.keys[0][slot.number, :, :start] = k[:, :start]
        slot.pool.values[0][slot.number, :, :start] = v[:, :start]
        all_keys.append(k)
        all_values.append(v)
        spans.append(Span(slot, start, count))
    pools.release(spans.pop(0).slot)  # a gap between the used slots
    all_keys.pop(0), all_values.pop(0)
    order = order_spans(spans)
    ordered = [spans[i] for i in order]
    q = torch.randn(sum(s.count for s in spans), HEADS, WIDTH, generator=generator)
    k = torch.cat([all_keys[i][:, spans[i].start :].transpose(0, 1) for i in order])
    v = torch.cat([all_values[i][:, spans[i].start :].transpose(0, 1) for i in order])
    out = make_step_layout(spec, ordered).attend_rows(0, q, k, v)
    row = 0
    for i in order:
        for position in range(spans[i].start, spans[i].start + spans[i].count):
            keys, values = all_keys[i][:, : position + 1], all_values[i][:, : position + 1]
            expected = naive_attention(q[row], keys, values, config)
            assert torch.allclose(out[row].double(), expected, atol=1e-5), (i, position)
            row += 1
    through_network = make_step_layout(spec, ordered).attend(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), config
    )
    assert torch.equal(through_network.transpose(0, 1), out)
