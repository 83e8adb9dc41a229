import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, PreTrainedModel

from tests import tolerances
from tests.families import SHAPE, VOCABULARY, family, random_network
from tests.plain import plain_logprobs, random_trees
from upbring.data.trees.batch import make_batch
from upbring.errors import InputError
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model, hidden_states
from upbring.model.roles import Roles
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.sampling import SampleSettings


def test_hidden_states_are_the_same_on_both_paths() -> None:
    batch = make_batch(random_trees(VOCABULARY, [(3, (5,)), (7, (4, 6)), (5, ())]))
    packed = hidden_states(Model(family("qwen3", attention=ATTENTION_NAME)), batch)
    slow = hidden_states(Model(family("qwen3"), is_packed=False), batch)
    assert packed.shape == (batch.num_tokens, 32)
    assert torch.allclose(packed, slow, atol=1e-5)


def test_a_rotary_threshold_is_known_where_there_is_one() -> None:
    assert Model(family("phi3-longrope")).rotary_threshold == 24
    assert Model(family("llama")).rotary_threshold is None


def test_without_training_mode_an_adapter_s_dropout_never_applies() -> None:
    network = family("llama", attention=ATTENTION_NAME)
    roles = Roles(network)
    roles._inject("policy", LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.5))
    assert not any(module.training for module in network.modules())


def dynamic_llama(*, limit: int) -> PreTrainedModel:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    config = LlamaConfig(
        **{**SHAPE, "max_position_embeddings": limit}, rope_parameters=rope, head_dim=8
    )
    return random_network(config, attention=ATTENTION_NAME)


def test_a_dynamic_rotary_embedding_is_exact_up_to_its_limit_and_refused_beyond() -> None:
    network = dynamic_llama(limit=24)
    model = Model(network)
    assert model.rotary_limit == 24
    trees = random_trees(VOCABULARY, [(10, (14, 9)), (3, (5,))])
    found = score_tokens(model, make_batch(trees)).logprobs
    network.set_attn_implementation("eager")
    plain = plain_logprobs(network, trees)
    assert torch.allclose(found, plain, atol=tolerances.LOGPROBS)
    network.set_attn_implementation(ATTENTION_NAME)
    long = make_batch(random_trees(VOCABULARY, [(10, (15,)), (3, (5,))]))
    with pytest.raises(InputError, match="to 24 or less"):
        score_tokens(model, long)
    with pytest.raises(InputError, match="to 24 or less"):
        sample(
            model,
            [Request(list(range(3, 23)), (1,))],
            SampleSettings(max_tokens=5),
            stopping=StopConditions(),
        )


def test_rotary_parameters_may_differ_by_type_of_layer() -> None:
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 24}
    config = family("llama").config
    config.rope_parameters = {"full_attention": rope, "sliding_attention": {"rope_type": "default"}}
    network = family("llama")
    network.config = config
    assert Model(network).rotary_threshold == 24
