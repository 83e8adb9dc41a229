"""Who prefers what."""
