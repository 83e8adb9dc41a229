"""One of several processes: sums a step's gradient with the others and saves the result."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.pretrain import Pretrain
from upbring.data.trees.stream import Stream
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.train import processes
from upbring.train.gradient import accumulate
from upbring.train.optimizer import ParameterGroup

TREES = random_trees(VOCABULARY, [(3, (5,)), (7, (4,)), (2, (9,)), (5, (1,)), (4, (11,))])


def main(out: Path, num_trees: int) -> None:
    """Take part in one step on the first `num_trees` trees."""
    torch.set_num_threads(1)
    network = family("llama", attention=ATTENTION_NAME)
    algorithm = Pretrain(
        model=Model(network),
        active=torch.enable_grad,
        trainable=[ParameterGroup(dict(network.named_parameters()))],
        stream=Stream(TREES[:num_trees], (), 0, 1.0, num_trees),
        steps=1,
        held_out=(),
        micro_tokens=10,
        sample_responses=list,
    )
    with processes.join_process_group(torch.device("cpu")) as place:
        (batches,) = algorithm.batches(0)
        values = accumulate(algorithm, batches)
        wish = processes.any_process(flag=place.rank == 1)
        received = processes.broadcast(f"from {place.rank}")
        all_received = processes.all_gather(f"from {place.rank}")
        if place.is_main_process:
            gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
            save_file(gradients, out / "gradients.safetensors")
            facts = {
                **values,
                "wish": wish,
                "received": received,
                "all": all_received,
                "mine": len(batches),
            }
            (out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
