"""Rewards that do not depend on whether an answer is right: controls, for what training does without a signal."""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import Pending, Reward, answers, begin, close, has_one_right_answer
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Completion, Group, Prompt, Score


class SpuriousReward(ABC):
    """Base of rewards in the place of another: `value` is theirs, `correct` and `parts` stay those of `reward`.

    So the policy is trained on one number, and pass@k and solve rate are of the other. See "Spurious Rewards:
    Rethinking Training Signals in RLVR" (Shao et al., 2025).
    """

    reward: Reward
    """The task's own."""

    @abstractmethod
    def values(self, group: Group) -> Sequence[float]:
        """The reward of each completion."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.begin(Group(prompt=prompt, completions=(completion,)))()[0]

    def begin(self, group: Group) -> Pending:
        """Start the task's reward on the group; its scores come back with other values."""
        pending, values = begin(self.reward, group), self.values(group)
        return lambda: tuple(replace(score, value=value) for score, value in zip(pending(), values, strict=True))

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """As the task's reward finds it."""
        return answers(self.reward, Group(prompt=prompt, completions=(completion,)))[0]

    @property
    def one_right_answer(self) -> bool:
        """As the task's reward has it."""
        return has_one_right_answer(self.reward)

    def close(self) -> None:
        """End what the task's reward has started."""
        close(self.reward)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomReward(SpuriousReward):
    """1 with a chance of `share`, else 0, independently for each completion.

    The draw depends on the seed, the problem, the iteration and the place in the group, and so not on the text.
    """

    reward: Reward
    seed: int = 0
    share: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, share=(0, 1))

    def values(self, group: Group) -> list[float]:
        drawn = []
        for place, completion in enumerate(group.completions):
            parts = ("spurious", self.seed, group.prompt.id, completion.policy_version, place)
            drawn.append(float(random.Random(derive_seed(*parts)).random() < self.share))
        return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatReward(SpuriousReward):
    """1 when the task's reward finds an answer in the completion, right or wrong, else 0."""

    reward: Reward

    def values(self, group: Group) -> list[float]:
        return [float(answer is not None) for answer in answers(self.reward, group)]
