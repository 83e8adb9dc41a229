"""The commands that read and write model files of other tools."""
