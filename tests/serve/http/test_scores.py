import pytest
import torch

from tests.serve.http.serving import SmallServer
from upbring.data.read.records import Message
from upbring.data.trees.batch import make_batch
from upbring.model.heads import rewards

PROMPT = [{"role": "user", "content": "What is red?"}]
RESPONSES = ["an apple", "the sky", "an apple and a much longer response"]


def reward_alone(server: SmallServer, response: str) -> float:
    """Return the reward of a response, computed alone."""
    model = server.served.by_name["judge"]
    tree = model.chat.encode_comparison((Message("user", "What is red?"),), [response], key="")

    def compute() -> float:
        with torch.no_grad(), server.loaded.roles.active("judge"):
            assert model.head is not None
            return float(rewards(server.loaded.model, model.head, make_batch([tree]))[0])

    return server.served.engine.call(compute).result(60)


def test_responses_get_the_rewards_of_the_model(server: SmallServer) -> None:
    found = server.post("/v1/score", model="judge", messages=PROMPT, responses=RESPONSES)
    scores = [row["score"] for row in found["data"]]
    assert scores == pytest.approx([reward_alone(server, each) for each in RESPONSES], abs=1e-4)
    assert len(set(scores)) == 3


def test_vllms_formats_are_read(server: SmallServer) -> None:
    pairs = server.post("/score", model="judge", text_1="What is red?", text_2=RESPONSES)
    more = server.post("/v1/score", model="judge", queries=["What is red?"], documents=RESPONSES)
    dialogue = [*PROMPT, {"role": "assistant", "content": RESPONSES[1]}]
    pooled = server.post("/pooling", model="judge", messages=dialogue)
    assert pairs["data"] == more["data"]
    assert pooled["data"][0]["data"] == pytest.approx([pairs["data"][1]["score"]], abs=1e-4)


def test_wrong_requests_are_explained(server: SmallServer) -> None:
    assert server.reject("/v1/score", model="small", messages=PROMPT)["param"] == "model"
    for fields in (
        {"messages": PROMPT},
        {"messages": PROMPT, "responses": [1]},
        {"text_1": ["a", "b"], "text_2": ["c"]},
        {"messages": PROMPT, "responses": ["word " * 400]},
    ):
        assert server.reject("/v1/score", model="judge", **fields)["message"]
    assert server.reject("/pooling", model="judge", messages=PROMPT)["param"] == "messages"
