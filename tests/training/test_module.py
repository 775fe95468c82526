"""One iteration in process: micro-batches, epochs and mini-batches add up to what they should."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import lightning
import pytest
import torch

from rsgrpo.batching.filters import DropEqualRewards, GroupFilter, KeepAll
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.callbacks.metrics import StepMetrics
from rsgrpo.data.countdown import Countdown
from rsgrpo.errors import FieldError, UserError
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.loggers.metrics_file import MetricsFile
from rsgrpo.losses.aggregation import Aggregation
from rsgrpo.losses.base import Loss, LossOutput
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.metrics.entropy import entropy
from rsgrpo.metrics.solve_rate import CumulativeSolveRate
from rsgrpo.metrics.timing import stage_times
from rsgrpo.metrics.updates import updates
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.schedules.constant import Constant
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.module import RLModule
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.reference import reference_of
from rsgrpo.types import Outcome, PackedRow, Prompt, Sampling, StepReport
from tests.runs import records
from tests.training.needy import Needy
from tests.training.parity_reward import ParityReward

SAMPLING = Sampling(max_new_tokens=10)
PLAN = BatchPlan(prompts_per_iteration=4, completions_per_prompt=4, prompts_per_update=4)
RECIPE = Recipe(
    objective=RSGRPO(beta=4.0),
    schedule=Constant(),
    loss=ClipLoss(),
    filter=DropEqualRewards(),
    reward=ParityReward(),
    batching=PLAN,
    sampling=SAMPLING,
    optimizer=AdamW(lr=1e-3),
    evaluation=EvaluationPlan(sampling=SAMPLING, validation_completions=4, test_completions=4, k=(1, 4)),
    iterations=1,
    seed=0,
)


class Reports(lightning.Callback):
    """Keeps the reports of a run."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.reports.append(outputs["report"])

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        named = pl_module.named_parameters()
        pl_module.__dict__["gradients_seen"] = {n: p.grad.clone() for n, p in named if p.grad is not None}


def train(
    folder: Path,
    recipe: Recipe,
    logger: Any = False,
    callbacks: Sequence[lightning.Callback] = (),
    *,
    offload: bool = False,
) -> tuple[RLModule, list[StepReport]]:
    """Train a new random policy by `recipe`."""
    tokenizer = build_tokenizer()
    policy = Policy(build_model(tokenizer, hidden_size=64, num_layers=2, seed=0), tokenizer)
    problems = Countdown().split("train")[:16]
    prompts = [Prompt(problem=p, token_ids=tuple(tokenizer(p.text).input_ids)) for p in problems]
    reference = reference_of(policy) if recipe.needs_reference else None
    engine = HFEngine(policy=policy)
    module = RLModule(
        policy, engine, recipe, train_set_size=len(prompts), reference=reference, offload_optimizer=offload
    )
    observer = Reports()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=logger,
        log_every_n_steps=1,
        callbacks=[observer, *callbacks],
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=PromptData(prompts, [], []))
    return module, observer.reports


def gradients(module: RLModule) -> dict[str, torch.Tensor]:
    """The gradient of the last update, which is freed after it."""
    assert all(parameter.grad is None for parameter in module.parameters())
    return module.__dict__["gradients_seen"]


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_many_micro_batches_give_the_gradient_of_one_big_batch(tmp_path: Path, aggregation: Any) -> None:
    recipe = replace(RECIPE, loss=ClipLoss(aggregation=aggregation))
    whole, [report] = train(tmp_path, recipe)
    parts, [report_parts] = train(tmp_path, replace(recipe, batching=replace(PLAN, row_tokens=40)))
    assert report.updates[0].num_rows == 1
    assert report_parts.updates[0].num_rows > 4
    assert report_parts.updates[0].loss == pytest.approx(report.updates[0].loss, abs=1e-6)
    assert report_parts.updates[0].loss_tokens == report.updates[0].loss_tokens
    assert report_parts.entropy == pytest.approx(report.entropy, rel=1e-5)
    big, small = gradients(whole), gradients(parts)
    largest = max(g.abs().max() for g in big.values())
    assert largest > 0
    for name, gradient in big.items():
        torch.testing.assert_close(small[name], gradient, atol=1e-5 * float(largest), rtol=0, msg=name)


@pytest.mark.parametrize(("prompts_per_update", "passes"), [(4, 1), (2, 2)])
def test_only_several_updates_need_a_forward_pass_for_old_logprobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompts_per_update: int, passes: int
) -> None:
    rows_seen: list[int] = []
    forward = Policy.forward

    def counted(self: Policy, row: PackedRow, temperature: float, **asked: bool) -> Any:
        rows_seen.append(id(row))
        return forward(self, row, temperature, **asked)

    monkeypatch.setattr(Policy, "forward", counted)
    plan = replace(PLAN, prompts_per_update=prompts_per_update)
    _, [report] = train(tmp_path, replace(RECIPE, batching=plan, filter=KeepAll()))
    assert len(rows_seen) == passes * sum(update.num_rows for update in report.updates)


def test_a_single_update_leaves_the_ratio_at_one(tmp_path: Path) -> None:
    _, [report] = train(tmp_path, RECIPE)
    assert report.updates[0].diagnostics["clip_fraction"] == 0
    # rho = 1: the loss is minus the token-weighted mean advantage.
    lengths = torch.tensor([outcome.lengths for outcome in report.outcomes], dtype=torch.float)
    kept = torch.tensor([reason is None for reason in report.dropped])
    expected = -(report.advantages * lengths[kept]).sum() / lengths[kept].sum()
    assert report.updates[0].loss == pytest.approx(float(expected), abs=1e-6)


def test_one_update_moves_probability_towards_positive_advantages(tmp_path: Path) -> None:
    module, [report] = train(tmp_path, replace(RECIPE, optimizer=AdamW(lr=1e-4)))
    kept = [g for g, reason in zip(report.groups.values(), report.dropped, strict=True) if reason is None]
    gain = 0.0
    for group, advantages in zip(kept, report.advantages, strict=True):
        for completion, advantage in zip(group.group.completions, advantages, strict=True):
            ids = torch.tensor([[*group.group.prompt.token_ids, *completion.token_ids]])
            with torch.no_grad():
                logits = module.policy.model(ids).logits[0, len(group.group.prompt.token_ids) - 1 : -1]
            after = logits.log_softmax(-1).gather(-1, ids[0, -len(completion.token_ids) :, None]).sum()
            gain += float(advantage * (after - completion.logprobs.sum()))
    assert gain > 0


def test_updates_and_epochs_are_counted_and_every_kept_token_is_trained_in_each_epoch(tmp_path: Path) -> None:
    plan = replace(PLAN, prompts_per_update=2, epochs=3)
    module, [report] = train(tmp_path, replace(RECIPE, batching=plan, filter=KeepAll()))
    tokens = sum(sum(outcome.lengths) for outcome in report.outcomes)
    assert (len(report.updates), report.optimizer_steps, module.optimizer_steps) == (6, 6, 6)
    assert sum(update.loss_tokens for update in report.updates) == 3 * tokens
    assert sum(update.num_sequences for update in report.updates) == 3 * 16


def test_the_second_epoch_clips_against_the_policy_that_was_sampled_from(tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=2)
    narrow = ClipLoss(clip_low=0.001, clip_high=0.001)
    _, [report] = train(tmp_path, replace(RECIPE, batching=plan, loss=narrow))
    assert report.updates[0].diagnostics["clip_fraction"] == 0
    assert report.updates[1].diagnostics["clip_fraction"] > 0.1


def test_an_iteration_without_a_kept_group_changes_nothing(tmp_path: Path) -> None:
    class DropAll(GroupFilter):
        def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
            return ["unwanted"] * len(outcomes)

    module, [report] = train(tmp_path, replace(RECIPE, filter=DropAll()))
    before = build_model(build_tokenizer(), hidden_size=64, num_layers=2, seed=0)
    assert (report.updates, report.entropy, report.logprob_gap) == ((), None, None)
    assert (module.iteration, module.optimizer_steps) == (1, 0)
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, module.policy.model.state_dict()[name]), name


def test_an_iteration_that_trained_nothing_repeats_no_number_of_the_one_before(tmp_path: Path) -> None:
    class DropSecondIteration(GroupFilter):
        calls = 0

        def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
            self.calls += 1
            return ["unwanted" if self.calls == 2 else None] * len(outcomes)

    observers = [
        StepMetrics({"e": entropy, "updates": updates, "timing": stage_times, "solve_rate": CumulativeSolveRate()})
    ]
    recipe = replace(RECIPE, iterations=3, filter=DropSecondIteration())
    _, reports = train(tmp_path, recipe, logger=MetricsFile(tmp_path), callbacks=observers)
    written = records(tmp_path / "metrics.jsonl")
    assert [record["iteration"] for record in written] == [1, 2, 3]
    assert [record.get("train/entropy") for record in written] == [report.entropy for report in reports]
    only_when_trained = {"train/entropy", "train/loss", "train/grad_norm", "train/logprob_gap", "time/update_s"}
    assert [only_when_trained <= record.keys() for record in written] == [True, False, True]
    assert not only_when_trained & written[1].keys()
    assert written[1]["train/cumulative_solve_rate"] > 0


def test_what_an_objective_asks_for_is_computed(tmp_path: Path) -> None:
    needy = Needy()
    plan = replace(PLAN, row_tokens=40)
    recipe = replace(RECIPE, objective=needy, reward=CountdownReward(), filter=KeepAll(), batching=plan, iterations=2)
    module, reports = train(tmp_path, recipe)
    assert len(needy.seen) == 2
    for context, report in zip(needy.seen, reports, strict=True):
        assert context.entropies is not None
        assert context.lengths is not None
        # All groups are kept, so the mean over their tokens is the entropy that the report has of the trained tokens.
        mean = (context.entropies * context.lengths).sum() / context.lengths.sum()
        assert float(mean) == pytest.approx(report.entropy, rel=1e-5)
        assert [answer is None for row in context.answers or () for answer in row] == [
            "no_box" in score.parts for outcome in report.outcomes for score in outcome.scores
        ]
        visits = [history.visits for history in context.history or ()]
        before = needy.seen[: report.iteration - 1]
        assert visits == [sum(prompt in c.prompt_ids for c in before) for prompt in context.prompt_ids]
    saved: dict[str, Any] = {}
    module.on_save_checkpoint(saved)
    assert sum(history["visits"] for history in saved["rsgrpo"]["history"].values()) == 8


def test_the_entropies_of_completions_are_those_of_each_alone(tmp_path: Path) -> None:
    needy = Needy()
    recipe = replace(RECIPE, objective=needy, reward=CountdownReward(), filter=KeepAll(), optimizer=AdamW(lr=1e-12))
    module, [report] = train(tmp_path, recipe)
    (context,) = needy.seen
    assert context.entropies is not None
    for place, scored in report.groups.items():
        for number, completion in enumerate(scored.group.completions):
            prompt = scored.group.prompt.token_ids
            with torch.no_grad():
                logits = module.policy.model(torch.tensor([[*prompt, *completion.token_ids]])).logits[0]
            entropy = torch.distributions.Categorical(logits=logits[len(prompt) - 1 : -1]).entropy().mean()
            assert float(context.entropies[place, number]) == pytest.approx(float(entropy), abs=1e-4)


def test_what_nobody_asks_for_is_not_computed(tmp_path: Path) -> None:
    module, [report] = train(tmp_path, RECIPE)
    assert {(outcome.answers, outcome.mean_entropies) for outcome in report.outcomes} == {(None, None)}
    saved: dict[str, Any] = {}
    module.on_save_checkpoint(saved)
    assert "history" not in saved["rsgrpo"]


def test_a_need_that_cannot_be_met_is_refused_before_a_run() -> None:
    class Unknown(Needy):
        needs = ("embeddings",)

    with pytest.raises(FieldError, match="needs 'embeddings', which is unknown; its `needs` may name answers"):
        replace(RECIPE, objective=Unknown())

    class Text(Needy):
        needs = "answers"

    with pytest.raises(FieldError, match=r"which is text; write needs = \('answers',\)"):
        replace(RECIPE, objective=Text())
    with pytest.raises(FieldError, match="needs answers, and the reward does not say"):
        replace(RECIPE, objective=Needy())


@dataclass(frozen=True, kw_only=True)
class EntropyBonus(Loss):
    """Maximises the entropy and nothing else."""

    entropy_gradient = True

    def __call__(self, tokens: Any, old_logprobs: torch.Tensor, row: PackedRow) -> LossOutput:
        return LossOutput(per_token=-tokens.entropy, diagnostics={"entropy_bonus": tokens.entropy.detach()})


def test_an_aggregation_that_there_is_not_is_refused_before_a_run() -> None:
    class Mine(EntropyBonus):
        aggregation = "seq_mean"  # pyright: ignore[reportAssignmentType]

    with pytest.raises(FieldError, match=r"^aggregation=seq_mean is unknown; choose one of token_mean"):
        replace(RECIPE, loss=Mine())


def test_an_entropy_that_a_loss_asks_for_can_be_trained(tmp_path: Path) -> None:
    bonus, plan = EntropyBonus(), replace(PLAN, epochs=8)
    recipe = replace(RECIPE, loss=bonus, batching=plan, filter=KeepAll(), optimizer=AdamW(lr=1e-3))
    _, [report] = train(tmp_path, recipe)
    entropies = [update.diagnostics["entropy_bonus"] for update in report.updates]
    assert entropies[1] > entropies[0]
    assert max(entropies) > entropies[0] + 0.005


class Wrong(Objective):
    """An objective of somebody who is still trying."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def advantages(self, rewards: torch.Tensor, context: AdvantageContext) -> Any:
        return self.result(rewards)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda rewards: rewards.mean(dim=1), r"Wrong.advantages returned \[4\].*shape \[4, 4\]"),
        (lambda rewards: rewards.tolist(), r"Wrong.advantages returned list"),
        (lambda rewards: rewards / 0, r"Wrong.advantages returned a value that is not finite"),
    ],
    ids=["wrong shape", "no tensor", "not finite"],
)
def test_an_objective_that_returns_something_else_is_named(tmp_path: Path, result: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        train(tmp_path, replace(RECIPE, objective=Wrong(result), filter=KeepAll()))


def test_completions_carry_the_version_of_the_policy_that_wrote_them(tmp_path: Path) -> None:
    _, reports = train(tmp_path, replace(RECIPE, iterations=3))
    versions = [{c.policy_version for g in report.groups.values() for c in g.group.completions} for report in reports]
    assert versions == [{0}, {1}, {2}]
    assert [report.policy_version for report in reports] == [1, 2, 3]


def test_fewer_kept_groups_than_updates_leave_some_updates_out(tmp_path: Path) -> None:
    class KeepFirst(GroupFilter):
        def __call__(self, outcomes: Sequence[Outcome]) -> list[str | None]:
            return [None, *["unwanted"] * (len(outcomes) - 1)]

    plan = replace(PLAN, prompts_per_update=1)
    _, [report] = train(tmp_path, replace(RECIPE, batching=plan, filter=KeepFirst()))
    assert len(report.updates) == 1
