"""A bandit.json written by hand, for the tests of what reads it."""

from typing import Any

ARMS = (0.1, 0.3, 1.0, 0.2, 0.6, 0.4)


def a_run(
    value: float | None, final: list[float], crossed: list[list[int | None]], shift: float = 0.0
) -> dict[str, Any]:
    """One value: three moments, six arms; `crossed` by .5, .7 and .9."""
    return {
        "value": value,
        "final_reward": final,
        "final_entropy": [0.1, 0.2, 0.6][: len(final)],
        "crossings": dict(zip(("0.5", "0.7", "0.9"), crossed, strict=True)),
        "reward": [[0.3 + shift, 0.4, 0.5], [0.35 + shift, 0.5, 0.6], [0.4 + shift, 0.6, 0.7]],
        "entropy": [[1.5, 1.0, 0.5], [1.6, 1.1, 0.6], [1.7, 1.2, 0.7]],
        "policies": [
            [0.1, 0.1, 0.1, 0.1, 0.5, 0.1],
            [0.05, 0.05, 0.3, 0.05, 0.5, 0.05],
            [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        ],
    }


TRAPPED = a_run(0.0, [0.59, 0.6, 0.58], [[1200, 1000, 1100], [None] * 3, [None] * 3])
ESCAPED = a_run(8.0, [0.9971, 0.9, 0.8999], [[2000, 3000, 4000], [5000, 7000, None], [12_345, None, None]], 0.05)


def content(*played: tuple[str, list[dict[str, Any]]], **changes: Any) -> dict[str, Any]:
    """The whole file; by default RS-GRPO at two values."""
    names = played or (("rs_grpo", [TRAPPED, ESCAPED]),)
    whole: dict[str, Any] = {
        "landscape": {"reward": list(ARMS), "policy": [0.1, 0.1, 0.1, 0.1, 0.5, 0.1]},
        "pulls": 30_000,
        "window": 1600,
        "seeds": 3,
        "escaped_above": 0.9,
        "played": [
            {
                "name": name,
                "field": {"grpo": None, "maxpo": "k"}.get(name, "beta"),
                "own_value": {"maxpo": 4}.get(name),
                "pulls": [0, 14_000, 28_400],
                "resolution": 1,
                "runs": runs,
            }
            for name, runs in names
        ],
        "refused": {},
    }
    return whole | changes
