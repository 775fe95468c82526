"""The problems of a configuration as the policy's prompts, and what was left out of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rsgrpo.composition.alphabet import spelled_out
from rsgrpo.composition.members import settings_of
from rsgrpo.data.cleaning import for_example, in_words
from rsgrpo.data.dataset import UNWRAPPED
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import DataSource, NamedSources, Split, digest, problems_of, removed_of, tokenize
from rsgrpo.distributed.terminal import say
from rsgrpo.errors import UserError, fields_belong_to
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.base import ReadsGolds, Reward
from rsgrpo.training.datamodule import PromptData
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Problem, Prompt

UNREADABLE = "with an answer that cannot be compared with"

LONGEST_SHOWN = 60
"""Characters of an answer that is shown as an example."""


def load_prompts(
    source: DataSource, policy: Policy, recipe: Recipe, *, prompt_format: PromptFormat, splits: Sequence[Split]
) -> PromptData:
    """The named splits; the others are empty.

    Raises:
        UserError: when there is nothing to train on, or a prompt does not fit into the policy's context.
    """
    prompts = {name: _split(source, name, policy, recipe, prompt_format) for name in splits}
    asked = next((split for split in prompts.values() if split), [])
    if words := spelled_out(policy.tokenizer, asked):
        say(
            f"note: the tokenizer of {policy.source or 'the policy'} knows no word of the problems ({words[0]!r} for "
            "example) and spells each letter by letter: is it a model of their language?"
        )
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
    if isinstance(source, NamedSources):
        with fields_belong_to("data", *settings_of(source)):
            described["sources"] = dict(source.sources())
    return described


def longest(source: DataSource, data: PromptData, recipe: Recipe) -> int:
    """The longest prompt plus completion that a run on these prompts may ask its engine for, in tokens.

    The longest prompt is `data.max_prompt_tokens` where that is set: it is then the same for all splits of the data.
    """
    asked = ((data.train, recipe.sampling), ([*data.validation, *data.test], recipe.evaluation.sampling))
    return max(
        (source.max_prompt_tokens or max(len(prompt.token_ids) for prompt in prompts)) + sampling.max_new_tokens
        for prompts, sampling in asked
        if prompts
    )


def _split(
    source: DataSource, split: Split, policy: Policy, recipe: Recipe, prompt_format: PromptFormat
) -> list[Prompt]:
    """One split; says what was left out of it."""
    drawn_for = "sampling" if split == "train" else "evaluation.sampling"
    with fields_belong_to("data", *settings_of(source)), fields_belong_to(drawn_for, "max_new_tokens"):
        prompts, too_long = tokenize(
            problems_of(source, split),
            policy.tokenizer,
            max_prompt_tokens=source.max_prompt_tokens,
            max_new_tokens=(recipe if split == "train" else recipe.evaluation).sampling.max_new_tokens,
            context=policy.context,
            vocabulary=policy.vocabulary,
            prompt_format=prompt_format,
        )
    comparable, unreadable = readable(prompts, recipe.reward)
    trains = split == "train"
    prompts = comparable if trains else prompts  # the other splits stay comparable with published numbers
    longer = f"longer than data.max_prompt_tokens={source.max_prompt_tokens}"
    removed = in_words({**removed_of(source, split), **(unreadable if trains else {}), longer: too_long})
    unwrapped = sum(UNWRAPPED in prompt.problem.facts for prompt in prompts)
    remarks = [f"left out {removed}"] if removed else []
    remarks += [f"kept {in_words(unreadable)}"] if unreadable and not trains else []
    remarks += [f"{unwrapped:,} without the text that data.strip_before and data.strip_after name"] if unwrapped else []
    conversations = sum(bool(prompt.problem.messages) for prompt in prompts)
    whole = ", without data.suffix" if getattr(source, "suffix", "") else ""
    remarks += [f"{conversations:,} conversations, used as they stand{whole}"] if conversations else []
    if remarks:
        line = "; ".join([f"{split}: {len(prompts):,} problems", *remarks])
        say(line)
    if trains and not prompts:
        cures = {
            "name another column or file, data.columns.answer=..., data.path=...": bool(unreadable),
            "raise data.max_prompt_tokens": too_long > 0,
        }
        cure = " or ".join(cure for cure, helps in cures.items() if helps) or "check data.*"
        raise UserError(f"the train split is empty{f': {removed} were left out' if removed else ''}; {cure}")
    return prompts


def readable(prompts: Sequence[Prompt], reward: Reward) -> tuple[list[Prompt], dict[str, int]]:
    """The prompts whose gold answer the reward can compare with, and how many have another, by reason."""
    if not isinstance(reward, ReadsGolds) or not prompts:
        return list(prompts), {}
    say(f"reading {len(prompts):,} gold answers")
    unreadable: dict[str, list[Problem]] = defaultdict(list)
    kept = []
    for prompt, why in zip(prompts, reward.unreadable([prompt.problem for prompt in prompts]), strict=True):
        if why is None:
            kept.append(prompt)
        else:
            unreadable[f"{UNREADABLE}: {why}"].append(prompt.problem)
    return kept, {for_example(why, _shown(problems[0])): len(problems) for why, problems in unreadable.items()}


def _shown(problem: Problem) -> str:
    """A gold answer and where it stands."""
    answer = " ".join(problem.answer.split())
    short = answer if len(answer) <= LONGEST_SHOWN else f"{answer[:LONGEST_SHOWN]}..."
    return f'"{short}", {problem.origin or problem.id}'
