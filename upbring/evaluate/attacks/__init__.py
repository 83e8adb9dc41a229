"""The numbers of the redteam suite."""
