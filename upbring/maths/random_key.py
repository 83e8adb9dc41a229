"""Keys of random numbers: a hash of what they are for, so that nothing has a state."""

import hashlib


def key(*parts: int | str) -> int:
    """Return the 63-bit key of (seed, purpose, step, index, …).

    >>> key(0, "order", 1) == key(0, "order", 1) != key(0, "order", 2)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
