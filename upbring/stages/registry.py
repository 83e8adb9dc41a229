"""Where the craft of each method that trains lies, so that a method imports its own alone."""

METHODS = {
    "pretrain": "upbring.stages.sft:PRETRAIN",
    "sft": "upbring.stages.sft:SFT",
    "reward": "upbring.stages.reward_model:REWARD",
    "dpo": "upbring.stages.preference:DPO",
    "ipo": "upbring.stages.preference:IPO",
    "kto": "upbring.stages.preference:KTO",
    "orpo": "upbring.stages.preference:ORPO",
    "simpo": "upbring.stages.preference:SIMPO",
    "ppo": "upbring.stages.rl:PPO",
    "grpo": "upbring.stages.rl:GRPO",
    "rloo": "upbring.stages.rl:RLOO",
}
