"""Where a policy is in a later update of an iteration: a given KL divergence away from where it was sampled."""

from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError

NEWTON = 40
"""Steps; few are needed, but for tiny divergences, whose root is almost double."""


def moved_policies(policies: Float[Tensor, "J M"], direction: Float[Tensor, "J M"], kl: float) -> Float[Tensor, "J M"]:
    """softmax(logits + s x direction) with the one s >= 0 at which KL(before || after), on average over the J policies,
    is `kl` nats. The divergence is convex in s and 0 at s = 0, so it rises from there.

    Raises:
        FieldError: where the direction is 0, or moves no policy that far.
    """
    if kl == 0:
        return policies
    size = direction.abs().max().item()
    if size > 0:
        direction = direction / size
    step = 1.0
    while (found := _divergence(policies, direction, step))[0] < kl:
        step *= 2
        if step > FARTHEST:
            raise FieldError(
                "kl",
                kl,
                "cannot be reached along the expected gradient of this objective",
                "try kl=0, or an objective that has a gradient",
                kl="task",
            )
    for _ in range(NEWTON):  # from above, towards the root of a convex function: it never overshoots
        divergence, slope = found
        step -= (divergence - kl) / slope
        found = _divergence(policies, direction, step)
    return (policies.log() + step * direction).softmax(dim=1)


FARTHEST = 2.0**20
"""Logits that nothing with a gradient of 1 has to be moved by."""


def _divergence(policies: Tensor, direction: Tensor, step: float) -> tuple[float, float]:
    """The mean divergence after a step, and its derivative by the step."""
    after = (policies.log() + step * direction).log_softmax(dim=1)
    divergence = (policies * (policies.log() - after)).sum(dim=1).mean()
    return divergence.item(), ((after.exp() - policies) * direction).sum(dim=1).mean().item()
