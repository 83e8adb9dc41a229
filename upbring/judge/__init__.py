"""Reward models as judges of responses."""
