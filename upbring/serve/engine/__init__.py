"""Continuous batching: sequences join and leave the batch at every token."""
