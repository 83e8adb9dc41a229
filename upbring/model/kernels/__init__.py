"""Attention of packed rows, in the ways that are fast for different lengths and devices."""
