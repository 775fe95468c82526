"""Which estimator of RS-GRPO is nearest to its objective, at which beta and group size: exact, nothing is sampled.

    python benchmarks/rs_grpo_estimators.py

Prompts of accuracy .02, .05, .1, .25, .5 and .75 with rewards of 0 and 1, equally many of each; an update of P prompts
averages their gradients w(p) grad p. What counts is the direction over the accuracies, since a common factor is one of
the learning rate: the error is the distance of the P-prompt estimate from the true weights of J_beta, both by the
policy's logit (times p (1 - p)), after the factor that brings the estimate nearest to them, over the size of the true
ones. Bias and noise in one number: sqrt(E |c w_P - w|^2) / |w|.
"""

import torch

from rsgrpo.audit.curves import weight_curve
from rsgrpo.errors import UserError
from rsgrpo.objectives.rs_grpo import RSGRPO

ACCURACIES = torch.tensor([0.02, 0.05, 0.1, 0.25, 0.5, 0.75], dtype=torch.float64)
ESTIMATORS = ("plugin", "loo", "vimco", "jackknife")
BETAS = (1.0, 2.0, 4.0, 8.0)
GROUPS = (4, 8, 16, 32, 64)
PROMPTS = (16, 512)


def errors(estimator: str, beta: float, completions: int, prompts: int) -> tuple[float, float]:
    """(error of updates of so many prompts, error of endlessly many), see above."""
    objective = RSGRPO(beta=beta, estimator=estimator)  # pyright: ignore[reportArgumentType]
    curve = weight_curve(objective, ACCURACIES, completions)
    by_logit = ACCURACIES * (1 - ACCURACIES)
    true = by_logit * beta_weight(beta)
    mean, std = by_logit * curve.weight, by_logit * curve.std
    variance = std.square().sum() * len(ACCURACIES) / prompts  # each accuracy has its share of the prompts
    return tuple(  # pyright: ignore[reportReturnType]
        (1 - (mean @ true) ** 2 / ((mean @ mean + noise) * (true @ true))).clamp(min=0).sqrt().item()
        for noise in (variance, torch.zeros_like(variance))
    )


def beta_weight(beta: float) -> torch.Tensor:
    """dJ_beta / dp = (e^beta - 1) / (beta (1 + p (e^beta - 1)))."""
    rise = torch.tensor(beta, dtype=torch.float64).expm1()
    return rise / (beta * (1 + ACCURACIES * rise))


def main() -> None:
    for prompts in (*PROMPTS, None):
        print(
            f"error of an update of {prompts} prompts" if prompts else "error that is left however many prompts: bias"
        )
        print("  beta    N  " + "".join(f"{name:>11}" for name in ESTIMATORS))
        for beta in BETAS:
            for completions in GROUPS:
                found = []
                for name in ESTIMATORS:
                    try:
                        found.append(errors(name, beta, completions, prompts or 1)[prompts is None])
                    except UserError:
                        found.append(float("nan"))
                best = min(range(len(found)), key=lambda i: (found[i] != found[i], found[i]))
                row = "".join(f"{x:>10.3f}{'*' if i == best else ' '}" for i, x in enumerate(found))
                print(f"  {beta:4g} {completions:4d}  {row}")
    print("*: the smallest")


if __name__ == "__main__":
    main()
