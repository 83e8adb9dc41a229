"""Tasks of lm-evaluation-harness, answered by models that are evaluated here."""
