"""Checks of a command's inputs before torch is imported."""
