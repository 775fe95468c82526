"""What an engine of one's own does wrong is one sentence with its place."""

import inspect
from collections.abc import Callable
from typing import Any, cast

import pytest

from rsgrpo.errors import OwnCodeFailed, UserError
from rsgrpo.evaluation.sampling import failures_name_the_engine, sampled_groups
from rsgrpo.rollouts.engine import EngineLost
from rsgrpo.types import Group, Problem, Prompt, Sampling
from tests.evaluation import own_engines
from tests.evaluation.own_engines import NoSeeds, Own, lost, one_and_fail

pytestmark = pytest.mark.usefixtures("as_users_run_it")

PROMPTS = [Prompt(problem=Problem(id="p", text="", answer=""), token_ids=(1,))]


def sample(engine: Own, completions: int = 0) -> list[tuple[int, Group]]:
    found = sampled_groups(
        cast(Any, engine), PROMPTS, Sampling(max_new_tokens=4), num_completions=completions, seeds=[0]
    )
    return list(found)


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (one_and_fail, r"rollout: Own\.generate raised ZeroDivisionError\('the device is gone'\) \(.*, line"),
        (lambda prompts, n: None, r"rollout: Own\.generate returned NoneType; yield pairs"),
        (lambda prompts, n: [1], r"rollout: Own\.generate yielded int; yield pairs"),
        (lambda prompts, n: [], "rollout: the engine has left out prompt 0 of 1"),
        (lambda prompts, n: [(3, Group(prompt=prompts[0], completions=()))], "prompt 3 of 1 twice, or was never"),
    ],
)
def test_it_is_named(says: Callable[[Any, int], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        sample(Own(says))


def test_the_line_is_that_of_the_users_file() -> None:
    lines, start = inspect.getsourcelines(one_and_fail)
    with pytest.raises(OwnCodeFailed) as caught:
        sample(Own(one_and_fail))
    assert f"({own_engines.__file__}, line {start + len(lines) - 1})" in str(caught.value)


def test_a_signature_that_does_not_fit_is_named_with_the_right_one() -> None:
    takes, called = r"takes \(prompts, sampling, num_completions\)", r"\(prompts, sampling, num_completions=, seeds=\)"
    with pytest.raises(UserError, match=rf"rollout: NoSeeds\.generate .*{takes} and is called with {called}"):
        sample(NoSeeds(lost))


def test_a_lost_engine_stays_lost() -> None:
    """Other ranks wait inside it: nothing may be agreed any more."""
    with pytest.raises(EngineLost, match="gone"):
        sample(Own(lost))


def test_the_other_methods_are_named_too() -> None:
    engine = Own(lost)
    with (
        pytest.raises(UserError, match=r"rollout: Own\.load_policy raised OSError\('no such device'\)"),
        failures_name_the_engine(cast(Any, engine), "load_policy"),
    ):
        engine.load_policy([], version=0)
