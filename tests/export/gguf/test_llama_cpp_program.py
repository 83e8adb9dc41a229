import pytest

from upbring.export.gguf import llama_cpp_program as module


def test_the_context_has_room_for_the_longest_prompt_and_values_stay_exact() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    request = {"model": "m.gguf", "threads": 1, "prompts": [[1, 2], [3] * 100], "tokens": 32}
    found = module._parameters(xllamacpp, request)
    assert found.n_ctx == 100 + 32 + module.MARGIN
    assert found.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_F32
    assert [*found.hostnames] == ["127.0.0.1"]
