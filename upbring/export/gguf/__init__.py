"""Writes GGUF files, for llama.cpp and Ollama, and checks them."""
