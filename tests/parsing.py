"""Python's own source, parsed."""

from __future__ import annotations

import ast
import gc


def parse(source: str) -> ast.Module:
    """Return the tree of a module.

    Before Python 3.11.8 a collection of garbage half way, in which another thread parses too (a traceback that is
    written does), ends it with a SystemError (python/cpython#106905).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_on:
            gc.enable()
