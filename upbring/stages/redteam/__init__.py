"""Red teaming end to end: requests, attacks, responses, numbers; and hardening a model."""
