"""The OpenAI-compatible API, its chat page, and what they share."""
