"""Commands that attack models, and that harden them."""
