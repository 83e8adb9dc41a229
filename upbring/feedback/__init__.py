"""Sources of preferences: principles, attacks, labels."""
