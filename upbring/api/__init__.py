"""The public Python API; `upbring` exports its names lazily."""
