"""Attacks on a model's refusals, as text transformations, for measuring and hardening it."""
