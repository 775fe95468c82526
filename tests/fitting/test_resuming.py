"""A run from Python goes on as if it had never ended, or says why it cannot."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import rsgrpo
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.callbacks.checkpoint import Checkpoint
from rsgrpo.callbacks.evaluation import PassAtK
from rsgrpo.errors import UserError
from rsgrpo.fitting.resuming import EARLIER, digest_of_weights
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.terms.kl import KL
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import StepReport
from tests.fitting.small import PROBLEMS, recipe
from tests.runs import records, without_times

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's, of so short a run


@dataclass
class Seen:
    """A metric that remembers."""

    rewards: float = 0.0

    def __call__(self, report: StepReport) -> dict[str, float]:
        self.rewards += sum(sum(outcome.rewards) for outcome in report.outcomes)
        return {"rewards_so_far": self.rewards}

    def state_dict(self) -> dict[str, Any]:
        return {"rewards": self.rewards}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rewards = state["rewards"]


def a_policy(hidden_size: int = 64) -> Policy:
    tokenizer = build_tokenizer()
    return Policy(build_model(tokenizer, hidden_size=hidden_size, num_layers=2, seed=0), tokenizer)


def train(policy: Policy, recipe: Recipe, **given: Any) -> list[dict[str, float]]:
    callbacks = [PassAtK(k=[1, 4]), Checkpoint(every=1, keep=9)]
    usual = {"validation": PROBLEMS[:2], "metrics": {"seen": Seen()}, "callbacks": callbacks, "accelerator": "cpu"}
    return rsgrpo.fit(policy, recipe, given.pop("train", PROBLEMS), **(usual | given))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """The folder of a run of two iterations, and its records."""
    folder = tmp_path_factory.mktemp("fitted") / "two"
    return folder, train(a_policy(), recipe(), folder=folder)


def test_two_iterations_and_two_more_are_four(two: tuple[Path, list[dict[str, float]]], tmp_path: Path) -> None:
    whole, resumed = a_policy(), a_policy()
    four = train(whole, recipe(iterations=4), folder=tmp_path / "four")
    shutil.copytree(two[0], tmp_path / "two")
    more = train(resumed, recipe(iterations=4), resume=tmp_path / "two")
    assert without_times([*two[1], *more]) == without_times(four)
    assert [len(two[1]), len(more)] == [2, 2]
    for (name, mine), theirs in zip(resumed.model.named_parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    mine, theirs = (without_times(records(tmp_path / run / "metrics.jsonl")) for run in ("two", "four"))
    assert mine == theirs
    assert records(tmp_path / "two/eval/validation.jsonl") == records(tmp_path / "four/eval/validation.jsonl")
    assert more[-1]["train/rewards_so_far"] > two[1][-1]["train/rewards_so_far"] > 0


def test_a_run_with_a_reference_goes_on_from_the_policy_that_it_began_with(tmp_path: Path) -> None:
    terms = {"kl": KL(estimator="k3", place="loss", coefficient=0.1)}
    whole, policy = train(a_policy(), recipe(iterations=3, terms=terms)), a_policy()
    train(policy, recipe(iterations=2, terms=terms), folder=tmp_path / "two")
    with pytest.raises(UserError, match="give fit that policy again, not the trained one"):
        train(policy, recipe(iterations=3, terms=terms), resume=tmp_path / "two")
    more = train(a_policy(), recipe(iterations=3, terms=terms), resume=tmp_path / "two")
    assert without_times(more) == without_times(whole[2:])
    assert more[0]["train/kl"] > 0


def test_a_run_of_an_earlier_version_lacks_fields_and_goes_on(two: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(two[0], tmp_path / "two")
    described = json.loads((tmp_path / "two/run.json").read_text())
    assert set(EARLIER) <= set(described["recipe"])
    described["recipe"] = {name: value for name, value in described["recipe"].items() if name not in EARLIER}
    (tmp_path / "two/run.json").write_text(json.dumps(described))
    assert len(train(a_policy(), recipe(iterations=3), resume=tmp_path / "two")) == 1


def test_an_earlier_checkpoint_forgets_what_came_after(two: tuple[Path, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two[0], run)
    (again,) = train(a_policy(), recipe(), resume=str(run / "checkpoints/iteration_000001"))
    assert without_times([again]) == without_times([two[1][1]])
    assert without_times(records(run / "metrics.jsonl")) == without_times(records(two[0] / "metrics.jsonl"))


def other_width(run: Path) -> list[Any]:
    return train(a_policy(hidden_size=32), recipe(iterations=4), resume=run)


@pytest.mark.parametrize(
    ("go_on", "says"),
    [
        (lambda run: train(a_policy(), recipe(), resume=run), "has finished 2 iterations.*extend it with iterations=4"),
        (
            lambda run: train(a_policy(), recipe(iterations=4, objective=RSGRPO(beta=2.0)), resume=run),
            r"recipe\.objective\.beta was 4\.0 and is 2\.0 now",
        ),
        (lambda run: train(a_policy(), recipe(iterations=4, seed=1), resume=run), r"recipe\.seed was 0 and is 1 now"),
        (lambda run: train(a_policy(), recipe(iterations=4), resume=run, train=PROBLEMS[1:]), "train holds other"),
        (lambda run: train(a_policy(), recipe(iterations=4), resume=run, folder=run.parent / "x"), "leave folder out"),
        (
            lambda run: train(a_policy(), recipe(iterations=4), resume=run / "checkpoints/iteration_000007"),
            r"no such checkpoint.*iterations 1, 2 are there: name one, resume=\S+iteration_000002",
        ),
        (lambda run: train(a_policy(), recipe(iterations=4), resume=run / "nowhere"), "resume=.*no such run folder"),
        (other_width, r"the policy's model\.\S+ had the shape \[.*64.*\] and has \[.*32.*\] now"),
    ],
)
def test_what_would_make_it_another_run_is_refused_and_nothing_changes(
    two: tuple[Path, Any], go_on: Callable[[Path], Any], says: str
) -> None:
    before = {file: file.read_bytes() for file in two[0].rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=says):
        go_on(two[0])
    assert {file: file.read_bytes() for file in two[0].rglob("*") if file.is_file()} == before


def test_what_a_resumed_run_may_set_anew(two: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(two[0], tmp_path / "run")
    rows = replace(recipe().batching, row_tokens=64)
    assert isinstance(rows, BatchPlan)
    more = train(a_policy(), recipe(iterations=3, batching=rows), resume=tmp_path / "run")
    assert len(more) == 1


def test_the_folder_says_what_the_run_is(two: tuple[Path, Any]) -> None:
    described = json.loads((two[0] / "run.json").read_text())
    assert described["data"]["train"]["problems"] == len(PROBLEMS)
    assert described["recipe"]["objective"] == "rsgrpo.objectives.rs_grpo.RSGRPO"
    assert described["recipe"]["batching.completions_per_prompt"] == 4
    assert described["versions"]["torch"] == torch.__version__
    assert described["base"] == digest_of_weights(a_policy())


def test_the_hash_of_weights_is_that_of_every_value() -> None:
    policy = a_policy()
    before = digest_of_weights(policy)
    with torch.no_grad():
        list(policy.model.parameters())[-1].view(-1)[-1] += 1
    assert digest_of_weights(policy) != before
    assert digest_of_weights(policy.to(torch.bfloat16)) != digest_of_weights(policy.to(torch.float32))
