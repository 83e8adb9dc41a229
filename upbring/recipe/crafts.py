"""Where the craft of each verb that trains lies, so that a verb imports its own alone."""

CRAFTS = {
    "pretrain": "upbring.recipe.next_token:PRETRAIN",
    "sft": "upbring.recipe.next_token:SFT",
    "reward": "upbring.recipe.rewarding:REWARD",
    "dpo": "upbring.recipe.preferring:DPO",
    "ipo": "upbring.recipe.preferring:IPO",
    "kto": "upbring.recipe.preferring:KTO",
    "orpo": "upbring.recipe.preferring:ORPO",
    "simpo": "upbring.recipe.preferring:SIMPO",
    "ppo": "upbring.recipe.on_policy:PPO",
    "grpo": "upbring.recipe.on_policy:GRPO",
    "rloo": "upbring.recipe.on_policy:RLOO",
}
