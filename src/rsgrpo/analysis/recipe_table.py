"""The audit of a whole recipe as a table in the terminal, made from its run folder alone."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width

PARTS = {
    "objective": "objective",
    "rescale": "+ rescale",
    "filter": "+ filter",
    "aggregation": "+ aggregation",
    "loss": "+ loss",
    "terms": "+ terms",
}

NUMBERS = ("scale", "cosine", "hard", "noise")


def print_recipe(run: Path, console: Console) -> None:
    """What each part of a recipe adds, how its terms pull, and a sentence on the whole; nothing without a recipe."""
    content = run_folder.read_json(run / run_folder.AUDIT).get("recipe")
    if content is None:
        return
    for of in ("of_rewards", "of_graded"):
        if content[of] is not None:
            whole_width(console, recipe_table(content, of))
    if content["graded_refused"] is not None:
        console.print(f"graded rewards: {content['graded_refused']}", soft_wrap=True, highlight=False)
    for term in content["of_rewards"]["terms"]:
        console.print(term_sentence(term), soft_wrap=True, highlight=False)
    console.print(recipe_sentence(content), soft_wrap=True, highlight=False)


def recipe_table(content: dict[str, Any], of: str = "of_rewards") -> Table:
    """One row per part, each with those above it; `of_rewards` or `of_graded`."""
    first = of == "of_rewards"
    rewards = ", ".join(f"{reward:g}" for reward in content["rewards" if first else "graded"])
    against = "that of the claim" if content[of]["against"] == "claim" else "the objective's own"
    table = plain_table(
        title=f"recipe: exact expectation, {_setting(content)}, rewards {rewards}"
        if first
        else f"the same answers with rewards {rewards}",
        caption=f"scale, cosine: expected gradient against {against}, all prompts together\n"
        "hard: weight of the hardest prompts over that of the easiest, relative to it\n"
        "noise: standard deviation of the gradient over its mean, if each prompt had logits of its own"
        if not first or content["of_graded"] is None
        else "",
    )
    table.add_column("part", no_wrap=True)
    table.add_column("which", no_wrap=True)
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in content[of]["stages"]:
        table.add_row(PARTS[row["part"]], _which(content, row["part"]), *(_number(row[name]) for name in NUMBERS))
    return table


def _setting(content: dict[str, Any]) -> str:
    prompts, updates = (
        content["prompts_per_iteration"],
        content["prompts_per_iteration"] // content["prompts_per_update"],
    )
    dealt = "" if updates == 1 else f" in {updates} updates"
    return f"N = {content['completions']}, {prompts} prompts{dealt}"


def recipe_sentence(content: dict[str, Any]) -> str:
    """What the recipe as a whole does, in plain words."""
    last = content["of_rewards"]["stages"][-1]
    claims = "the objective claims" if content["of_rewards"]["against"] == "claim" else "the objective alone has"
    if last["cosine"] is None:
        return "as a whole: the expected gradient is 0: this recipe trains nothing on these prompts"
    if last["cosine"] <= 0:
        return (
            f"as a whole: the expected gradient points away from what {claims} (cosine {_number(last['cosine'])}): "
            "this recipe undoes on average what it should do"
        )
    exact = abs(last["cosine"] - 1) < SAME
    direction = "the direction is exact" if exact else f"the cosine of the direction is {_number(last['cosine'])}"
    if last["hard"] is None:
        return f"as a whole: {direction}, against what {claims}"
    hard, easy = min(content["accuracies"]), max(content["accuracies"])
    weight = (
        f"hard prompts (accuracy {hard:g}) count, against easy ones ({easy:g}), for exactly what {claims}"
        if abs(last["hard"] - 1) < SAME
        else f"hard prompts (accuracy {hard:g}) count, against easy ones ({easy:g}), for {_number(last['hard'])} of "
        f"what {claims}"
    )
    return f"as a whole: {weight}; {direction}"


SAME = 1e-8
"""Difference from 1 that is rounding."""


def term_sentence(term: dict[str, Any]) -> str:
    """How strongly a term pulls, and where to."""
    if term["size"] is None or term["cosine"] is None:
        return f"term {term['term']}: no gradient on these prompts"
    return (
        f"term {term['term']} ({term['place']}): {_number(term['size'])} times the size of the gradient without it, "
        f"at a cosine of {_number(term['cosine'])} to that"
    )


def _which(content: dict[str, Any], part: str) -> str:
    name = content["parts"][part]
    return f"{name}, KL {content['kl']:g}" if part == "loss" else name


def _number(value: float | None) -> str:
    """Four digits, so that a cosine of .9973 shows; empty for None.

    >>> [_number(x) for x in (1.0, 0.99727, -28.2, 1e-15, None)]
    ['1.0000', '0.9973', '-28.2', '0', '']
    """
    if value is None:
        return ""
    if abs(value) < 1e-10:
        return "0"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"
