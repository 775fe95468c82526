"""What a line of `metrics.jsonl` logged."""

import math
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def metrics_of(record: Record) -> dict[str, float]:
    """Metrics by name: a record holds null for what is not finite."""
    values = ((name, value) for name, value in record.items() if name != "iteration")
    return {name: math.nan if value is None else value for name, value in values}
