"""Reads GGUF files, the format of llama.cpp and Ollama, as transformers folders."""
