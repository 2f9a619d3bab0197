"""What was freed goes back to the system: glibc keeps small blocks for later, and the packed weights of a model are hundreds of them.

Deliberately no more than that one call, and nothing where the C library has none.
"""

import ctypes
import functools
import gc
from collections.abc import Callable


def hand_back_memory() -> None:
    """Collect what nobody refers to and return free memory to the system; costs about 0.1 s, so it is for quiet moments."""
    gc.collect()
    trim = trimmer()
    if trim is not None:
        trim(0)


@functools.cache
def trimmer() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim  # glibc
    except (AttributeError, OSError, TypeError):  # musl and macOS have none, Windows no library without a name
        return None
    return found
