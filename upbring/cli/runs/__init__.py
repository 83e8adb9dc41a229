"""The commands about the runs in a folder: list, compare, dependencies, prune."""
