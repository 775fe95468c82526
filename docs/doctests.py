"""Examples in docstrings, which stand there as `>>>` without a heading, become code blocks of the API pages."""

import re
from typing import Any

from griffe import Extension, Object  # pyright: ignore[reportMissingImports]

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(Extension):
    """Called by mkdocstrings for every object that it reads."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Put a fence around each example."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
