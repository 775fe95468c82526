"""What `task=plan` prints, made from its `plan.json` alone."""

from pathlib import Path
from typing import Any

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.tables import plain_table, whole_width

PLAIN: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}


def print_plan(run: Path, console: Console) -> None:
    """The plan of a folder: memory by phase and part, the cache, time, disk, and what to turn."""
    plan = run_folder.read_json(run / run_folder.PLAN)
    model, settings = plan["model"], plan["settings"]
    trained = "" if model["trained"] == model["parameters"] else f", {model['trained']:,} of them trained"
    console.print(
        f"{model['architecture']}, {model['parameters']:,} parameters{trained}, from {model['source']}", **PLAIN
    )
    _memory(plan, console)
    console.print(_fits(plan), style="bold", **PLAIN)
    decided = {name: settings[name] for name in ("sleep", "offload_optimizer", "checkpointing")}
    layout = "" if plan["layout"] is None else f"{plan['layout']}, "
    said = layout + ", ".join(f"{name} {'on' if on else 'off'}" for name, on in decided.items())
    console.print(f"planned with: {said}, optimiser {settings['optimizer']}, weights {settings['weights']}", **PLAIN)
    if (cache := plan["cache"]) is not None:
        console.print(
            f"cache: {cache['gib']:.1f} GiB, {cache['tokens']:,} tokens of context, {cache['rows']} of the longest "
            f"completions ({cache['longest']:,} tokens with their prompts) side by side",
            **PLAIN,
        )
    if plan["host_gib"]:
        console.print(f"host memory: {plan['host_gib']:.1f} GiB for each GPU", **PLAIN)
    _time(plan["time"], console)
    console.print(f"disk: {plan['disk']}", **PLAIN)
    if plan["advice"] is not None:
        _advice(plan["advice"], console)


def _memory(plan: dict[str, Any], console: Console) -> None:
    phases = plan["phases"]
    settings = plan["settings"]
    place = "GPU" if settings["on_gpu"] else "process on the CPU"
    cards = f"{settings['gpus']} x {settings['gpu_gib']:.4g} GiB"
    console.print(
        f"\nmemory by plan, GiB of each {place} at the peak of each phase ({cards}, {plan['usable_gib']:.1f} usable)",
        **PLAIN,
    )
    table = plain_table("", "")
    table.add_column("", no_wrap=True)
    for name in phases:
        table.add_column(name, justify="right", no_wrap=True)
    parts = dict.fromkeys(part for phase in phases.values() for part in phase["parts"])
    for part in parts:
        table.add_row(part, *(_gib(phase["parts"].get(part)) for phase in phases.values()))
    table.add_row("peak", *(_gib(phase["total"]) for phase in phases.values()), style="bold")
    whole_width(console, table)


def _gib(number: float | None) -> str:
    return "" if number is None else f"{number:.1f}" if number >= 0.05 else "0.0"


def _fits(plan: dict[str, Any]) -> str:
    largest = plan["largest"]
    peak = f"{largest} is the largest phase, {plan['phases'][largest]['total']:.1f} GiB"
    return f"fits by plan: {peak}" if plan["fits"] else f"does not fit by plan: {peak}"


def _time(time: dict[str, Any], console: Console) -> None:
    console.print(
        f"\ntime by estimate, at {time['decode_tokens_per_s']:,.0f} tokens/s sampled and {time['tflops']:g} TFLOP/s "
        "trained on each (plan.decode_tokens_per_s, plan.tflops)",
        **PLAIN,
    )
    table = plain_table("", "")
    table.add_column("stage", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for name, seconds in time["stages_s"].items():
        table.add_row(name, f"{seconds:,.1f}", f"{seconds / time['iteration_s']:.0%}")
    table.add_row("iteration", f"{time['iteration_s']:,.1f}", "", style="bold")
    whole_width(console, table)
    share = time["evaluation_hours"] / time["hours"]
    left_out = f" (without {', '.join(time['tests_left_out'])})" if time["tests_left_out"] else ""
    console.print(
        f"{time['iterations']:,} iterations: {_duration(time['hours'])}, {share:.0%} of them evaluations{left_out}",
        **PLAIN,
    )


def _advice(advice: dict[str, Any], console: Console) -> None:
    if advice["remedies"]:
        console.print("\nwhat helps, each alone, at the peak of the phase that it helps most", **PLAIN)
    table = plain_table("", "")
    for name in ("key", "saves GiB", "in", "costs"):
        table.add_column(name, justify="right" if name == "saves GiB" else "left", no_wrap=True)
    for one in advice["remedies"]:
        table.add_row(one["words"], f"{one['saves_gib']:.1f}", one["phase"], one["costs"])
    if advice["remedies"]:
        whole_width(console, table)
    if advice["cheapest"]:
        console.print(f"fits by plan with {' '.join(advice['cheapest'])}", style="bold", **PLAIN)
    if advice["elsewhere"] is not None:
        console.print(f"fits by plan on {advice['elsewhere']} and no other change", **PLAIN)


def _duration(hours: float) -> str:
    """In the unit that reads best.

    >>> _duration(0.065), _duration(5.3), _duration(264)
    ('4 minutes', '5.3 hours', '11 days')
    """
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.0f} days"
