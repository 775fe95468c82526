"""The problems of a configuration as the policy's prompts, and what was left out of them."""

from collections.abc import Sequence
from typing import Any

from rsgrpo.data.cleaning import in_words
from rsgrpo.data.dataset import UNWRAPPED
from rsgrpo.data.source import DataSource, NamedSources, Split, digest, tokenize
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.base import ReadsGolds, Reward
from rsgrpo.tasks.terminal import say
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Prompt, UserError

UNREADABLE = "with an answer that cannot be compared with"


def load_prompts(
    source: DataSource, policy: Policy, recipe: Recipe, *, chat_template: bool, splits: Sequence[Split]
) -> PromptData:
    """The named splits; the others are empty.

    Raises:
        UserError: when there is nothing to train on, or a prompt does not fit into the policy's context.
    """
    prompts = {name: _split(source, name, policy, recipe, chat_template) for name in splits}
    return PromptData(
        train=prompts.get("train", []),
        validation=prompts.get("validation", [])[: recipe.evaluation.validation_prompts],
        test=prompts.get("test", []),
    )


def describe(source: DataSource, data: PromptData) -> dict[str, Any]:
    """What a run is trained and measured on, for its `run.json`: size, hash and sources of its splits."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    described: dict[str, Any] = {
        name: {"problems": len(prompts), "blake2b": digest(prompts)} for name, prompts in splits.items()
    }
    return described | ({"sources": dict(source.sources())} if isinstance(source, NamedSources) else {})


def _split(source: DataSource, split: Split, policy: Policy, recipe: Recipe, chat_template: bool) -> list[Prompt]:
    """One split; says what was left out of it."""
    prompts, too_long = tokenize(
        source.split(split),
        policy.tokenizer,
        max_prompt_tokens=source.max_prompt_tokens,
        max_new_tokens=(recipe if split == "train" else recipe.evaluation).sampling.max_new_tokens,
        context=policy.context,
        vocabulary=policy.vocabulary,
        chat_template=chat_template,
    )
    unreadable = 0
    if split == "train":  # the others stay comparable with what others measure
        prompts, unreadable = _with_readable_answers(prompts, recipe.reward)
    longer = f"longer than data.max_prompt_tokens={source.max_prompt_tokens}"
    removed = in_words({**source.removed(split), UNREADABLE: unreadable, longer: too_long})
    unwrapped = sum(UNWRAPPED in prompt.problem.facts for prompt in prompts)
    remarks = [f"left out {removed}"] if removed else []
    remarks += [f"{unwrapped:,} without the text that data.strip_before and data.strip_after name"] if unwrapped else []
    if remarks:
        line = "; ".join([f"{split}: {len(prompts):,} problems", *remarks])
        say(line)
    if split == "train" and not prompts:
        raise UserError("the train split is empty; check data.* (data.max_prompt_tokens drops longer prompts)")
    return prompts


def _with_readable_answers(prompts: Sequence[Prompt], reward: Reward) -> tuple[list[Prompt], int]:
    """Without prompts whose gold answer the reward cannot compare with, and how many those are."""
    if not isinstance(reward, ReadsGolds):
        return list(prompts), 0
    say(f"reading {len(prompts):,} gold answers")
    unreadable = reward.unreadable([prompt.problem for prompt in prompts])
    kept = [prompt for prompt, bad in zip(prompts, unreadable, strict=True) if not bad]
    return kept, len(prompts) - len(kept)
