"""A client for OpenAI-compatible servers: retries, budgets, and a cache of paid calls."""
