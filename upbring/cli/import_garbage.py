"""Garbage collection rests while modules are imported: what they define lives on.

The collector would read all of it again and again, which takes a tenth of the time until a run
starts, and later at every full collection.
"""

import gc


def pause_collection() -> None:
    """Collect nothing from now on. Only a process of its own may do this, at its start."""
    gc.disable()


def resume_collection() -> None:
    """Collect again, if it was paused, but never what there is by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
