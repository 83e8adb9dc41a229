"""The labeling page on which people vote: its server, its API and its scripts."""
