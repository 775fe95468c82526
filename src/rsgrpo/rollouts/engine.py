"""The one seam between training and whatever samples from the policy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rsgrpo.errors import UserError
from rsgrpo.models.lora import Parts
from rsgrpo.types import Completion, Group, Prompt, Sampling


class EngineLost(RuntimeError):
    """An engine that several ranks share failed on this one: the others wait inside it and cannot agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How closely an engine with weights of its own has to agree with the trainer, and how often that is checked."""

    bound: float
    """Largest mean |sampler - trainer| log-prob of a token, in nats."""
    every: int
    """Versions of the policy between two checks."""
    half_precision: bool = False
    """Whether it computes in 16 bits: its samples are then those of a slightly different policy than the trainer's."""


class Sample(NamedTuple):
    """What an engine has drawn: the tokens, their log-probs, and whether a stop token ended them."""

    token_ids: tuple[int, ...]
    logprobs: Float[Tensor, " T"]
    finished: bool


@runtime_checkable
class RolloutEngine(Protocol):
    """Draws completions from the policy. Knows nothing of rewards, objectives or ranks.

    One that samples from the live module does so inside `Policy.whole()`, which is a collective under FSDP2: every rank
    enters it in every call of `generate`, before anything that may fail on one of them.
    """

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Group]]:
        """Yield (index of the prompt, its group) as soon as the group's completions are done, in any order.

        Args:
            prompts: what to complete.
            sampling: how to draw.
            num_completions: N, completions per prompt.
            seeds: one per prompt; the same seed draws the same completions, whatever else is in the batch.
        """
        ...

    def load_policy(self, weights: Iterable[tuple[str, Tensor]], *, version: int) -> None:
        """Take the policy's weights, full tensors by Hugging Face name, and stamp completions with `version`.

        An engine with weights of its own takes all of them, on every rank; others ignore `weights`.
        """
        ...

    @property
    def parity(self) -> Parity | None:
        """What the trainer holds the engine's log-probs to; None for an engine that has no weights of its own."""
        ...

    def make_room(self) -> None:
        """The trainer needs the memory now; `load_policy` comes before the next `generate`."""
        ...

    def close(self) -> None:
        """Free everything: nothing is sampled any more."""
        ...


def parts_of(engine: RolloutEngine) -> Parts:
    """What an engine takes of a policy with adapters: merged weights, unless its attribute `parts` says otherwise.

    What it says may change from one `load_policy` to the next, and is the same on all ranks.
    """
    return getattr(engine, "parts", "merged")


def group_of(
    prompt: Prompt, samples: Sequence[Sample], tokenizer: PreTrainedTokenizerBase, policy_version: int
) -> Group:
    """The finished group of a prompt, its completions decoded without their stop tokens."""
    texts = tokenizer.batch_decode([list(s.token_ids[:-1] if s.finished else s.token_ids) for s in samples])
    completions = tuple(
        Completion(**sample._asdict(), text=text, policy_version=policy_version)
        for sample, text in zip(samples, texts, strict=True)
    )
    return Group(prompt=prompt, completions=completions)


def check_prompts(prompts: Sequence[Prompt], sampling: Sampling, context: int) -> None:
    """Refuse what no engine can complete: an empty prompt, or one that exceeds `context` with its new tokens.

    Raises:
        UserError: naming the first such prompt.
    """
    for prompt in prompts:
        length = len(prompt.token_ids)
        if length == 0:
            raise UserError(f"the prompt of {prompt.id} has no tokens; give it a text")
        if length + sampling.max_new_tokens > context:
            raise UserError(
                f"the prompt of {prompt.id} has {length} tokens, with {sampling.max_new_tokens} new ones more than "
                f"the {context} that fit; lower max_new_tokens or max_prompt_tokens",
                max_prompt_tokens="data",
            )


def checked_groups(
    groups: Iterable[tuple[int, Group]],
    prompts: Sequence[Prompt],
    num_completions: int,
    *,
    refusal: type[Exception] = RuntimeError,
) -> Iterator[tuple[int, Group]]:
    """The groups as they come, held to what `RolloutEngine.generate` promises.

    Raises:
        refusal: for a prompt that comes twice or never, too many or too few completions, a token without log-prob.
    """
    left, says = set(range(len(prompts))), "rollout: the engine has"
    for index, group in groups:
        if index not in left:
            raise refusal(f"{says} yielded prompt {index} of {len(prompts)} twice, or was never given it")
        left.remove(index)
        if len(group.completions) != num_completions:
            raise refusal(f"{says} yielded {len(group.completions)} completions, not {num_completions}")
        if any(len(c.logprobs) != len(c.token_ids) for c in group.completions):
            raise refusal(f"{says} yielded a completion with more or fewer log-probs than tokens")
        yield index, group
    if left:
        raise refusal(f"{says} left out prompt {min(left)} of {len(prompts)}")
