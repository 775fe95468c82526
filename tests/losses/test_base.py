"""What a loss must return."""

from typing import Any, cast

import pytest
import torch

from rsgrpo.errors import UserError
from rsgrpo.losses.base import Loss, LossOutput, checked_loss
from rsgrpo.types import PackedRow, TokenStatistics
from tests.losses.test_clip import row_of

pytestmark = pytest.mark.usefixtures("as_users_run_it")


class Returns(Loss):
    def __init__(self, output: Any) -> None:
        self.output = output

    def __call__(self, tokens: TokenStatistics, old_logprobs: torch.Tensor, row: PackedRow) -> Any:
        return self.output(tokens) if callable(self.output) else self.output


def said(output: Any) -> LossOutput:
    row = row_of(torch.ones(3))
    tokens = TokenStatistics(torch.zeros(3, requires_grad=True), torch.zeros(3))
    return checked_loss(Returns(output), tokens, torch.zeros(3), row)


def test_what_a_loss_must_return_is_taken() -> None:
    output = said(lambda t: LossOutput(per_token=-t.logprobs, diagnostics={"cut": torch.zeros(3, dtype=torch.bool)}))
    assert output.per_token.requires_grad


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, r"Returns returned NoneType; return rsgrpo\.losses\.base\.LossOutput"),
        (lambda t: -t.logprobs.sum(), "Returns returned Tensor; return"),
        (
            lambda t: LossOutput(per_token=-t.logprobs.sum()),
            r"per_token of shape \[\]; return one number per loss token",
        ),
        (lambda t: LossOutput(per_token=-t.logprobs[:2]), r"per_token of shape \[2\]; .*\[3\]"),
        (lambda t: LossOutput(per_token=-t.logprobs, diagnostics={"kl": torch.zeros(2)}), r"kl of shape \[2\]"),
        (lambda t: LossOutput(per_token=-t.logprobs, diagnostics=cast(Any, {"kl": 0.5})), "kl of shape float"),
        (lambda t: LossOutput(per_token=t.entropy), "without a gradient, so nothing would be trained"),
    ],
)
def test_anything_else_is_one_sentence(output: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        said(output)
