"""What is counted by hand, phase by phase, and what turning a key changes."""

from dataclasses import replace

import pytest

from rsgrpo.models.lora import LoRA
from rsgrpo.planning.architecture import Architecture, architecture_of, shipped
from rsgrpo.planning.cures import advice, candidates, resolved
from rsgrpo.planning.memory import FRAGMENTS, plan_memory, weights_of
from rsgrpo.planning.settings import GIB, Settings
from tests.planning.real_step import architecture

pytestmark = pytest.mark.usefixtures("as_users_run_it")
"""Checks of annotations would take most of the time of a trace."""

PUBLISHED = {
    "Qwen/Qwen2.5-Math-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-Math-7B": 7_615_616_512,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-4B-Base": 4_022_468_096,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
}
"""Parameters, of which the weights' files on the hub are made up."""


@pytest.fixture(scope="module")
def small() -> Architecture:
    return architecture()


def settings(**changed: object) -> Settings:
    small = {"row_tokens": 1024, "prompt_tokens": 64, "new_tokens": 192, "max_tokens": 256, "chunk_tokens": 128}
    return Settings(
        **{"gpu_gib": 8.0, "gpus": 1, "completions": 64, "prefill_tokens": 512, "max_rows": 64, **small, **changed}
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_shipped_description_has_the_published_number_of_parameters(model: str) -> None:
    known = architecture_of(model)
    assert "comes with rsgrpo" in known.source
    assert sum(shape.numel() for shape in known.parameters.values()) == PUBLISHED[model]


def test_every_shipped_description_is_held_to_a_number() -> None:
    assert set(shipped()) == set(PUBLISHED)


def test_weights_gradients_and_moments_are_counted(small: Architecture) -> None:
    numbers = sum(shape.numel() for shape in small.parameters.values())
    step = plan_memory(small, settings()).phases["step"].parts
    assert [step[name] for name in ("weights", "gradients", "optimiser state")] == [
        4 * numbers,
        4 * numbers,
        8 * numbers,
    ]
    half = plan_memory(small, settings(weights="bfloat16")).phases["step"].parts
    assert [half[name] for name in ("weights", "gradients", "optimiser state")] == [
        2 * numbers,
        2 * numbers,
        4 * numbers,
    ]


def test_eight_bit_states_are_two_bytes_and_a_scale_but_for_small_tensors(small: Architecture) -> None:
    state = plan_memory(small, settings(optimizer="adamw8bit")).phases["step"].parts["optimiser state"]
    by_hand = 0
    for shape in small.parameters.values():
        numbers = shape.numel()
        by_hand += 8 * numbers if len(shape) == 1 else 2 * numbers + 2 * 4 * numbers // 256
    assert state == by_hand
    assert any(len(shape) == 1 for shape in small.parameters.values())


def test_lora_trains_the_adapters_and_freezes_the_rest(small: Architecture) -> None:
    lora = LoRA(rank=4)
    weights = weights_of(small, lora)
    frozen = sum(w.numbers for w in weights if not w.trained)
    assert frozen == sum(shape.numel() for shape in small.parameters.values())
    layers, hidden, intermediate, queries, keys = 4, 256, 768, 4 * 64, 2 * 64
    pairs = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)]
    pairs += [(hidden, intermediate), (hidden, intermediate), (intermediate, hidden)]
    assert sum(w.numbers for w in weights if w.trained) == layers * sum(4 * (a + b) for a, b in pairs)
    parts = plan_memory(small, settings(lora=LoRA(rank=4, base_dtype="bfloat16"))).phases["step"].parts
    assert parts["frozen weights"] == 2 * frozen


def test_gradients_and_activations_are_there_in_training_alone(small: Architecture) -> None:
    phases = plan_memory(small, settings()).phases
    assert {name for name, phase in phases.items() if "gradients" in phase.parts} == {"train", "step"}
    assert {name for name, phase in phases.items() if "activations of a row" in phase.parts} == {"train"}
    assert {name for name, phase in phases.items() if "engine: keys and values" in phase.parts} == {"sample"}
    awake = plan_memory(small, settings(sleep=False)).phases
    assert all("engine: keys and values" in awake[name].parts for name in ("sample", "train", "step"))


def test_the_optimiser_state_is_on_the_host_while_the_engine_works(small: Architecture) -> None:
    plan = plan_memory(small, settings(offload_optimizer=True))
    there = {name for name, phase in plan.phases.items() if phase.parts.get("optimiser state")}
    assert there == {"train", "step"}
    assert plan.host == plan.phases["step"].parts["optimiser state"]


def test_ranks_share_the_state_and_gather_layers(small: Architecture) -> None:
    one, four = (plan_memory(small, settings(sharded=True, gpus=n)) for n in (1, 4))
    for name in ("weights", "gradients", "optimiser state"):
        assert four.phases["step"].parts[name] == one.phases["step"].parts[name] / 4
    outside = 32_000 * 256 + 256
    layer = (sum(s.numel() for s in small.parameters.values()) - outside) / 4
    gathered = four.phases["train"].parts["gathered weights"]
    assert gathered == (outside + 3 * layer) * 2 + 2 * layer * 4
    offloaded = plan_memory(small, settings(sharded=True, gpus=4, cpu_offload=True))
    assert offloaded.host == sum(four.phases["step"].parts[n] for n in ("weights", "gradients", "optimiser state"))
    assert "weights" not in offloaded.phases["train"].parts


def test_a_reference_is_a_second_copy(small: Architecture) -> None:
    numbers = sum(shape.numel() for shape in small.parameters.values())
    phases = plan_memory(small, settings(reference=True)).phases
    assert {phase.parts["reference policy"] for phase in phases.values()} == {4 * numbers}


@pytest.mark.parametrize(("fused", "extra"), [(True, 0), (False, 4)])
def test_the_default_step_needs_a_number_more_of_each_parameter(small: Architecture, fused: bool, extra: int) -> None:
    numbers = sum(shape.numel() for shape in small.parameters.values())
    assert plan_memory(small, settings(fused=fused)).phases["step"].parts.get("optimiser's step", 0) == extra * numbers


def test_the_cache_is_what_the_share_leaves_and_is_told_in_tokens(small: Architecture) -> None:
    plan = plan_memory(small, settings(gpu_memory_share=0.5))
    parts, cache = plan.phases["sample"].parts, plan.cache
    assert cache is not None
    at_start = parts["weights"] + parts["allowance: CUDA, NCCL"]
    in_share = parts["engine: weights"] + parts["engine: workspace"] + parts["engine: allowance"] - 1.0 * GIB  # graphs
    assert cache.bytes == pytest.approx(0.5 * (8 * 0.985 * GIB - at_start) - in_share)
    assert cache.tokens == int(cache.bytes / (2 * 4 * 2 * 64 * 2))  # keys and values, layers, heads, width, bytes
    assert cache.rows == min(64, cache.tokens // 256)
    fixed = plan_memory(small, settings(kv_cache_gib=0.5)).cache
    assert fixed is not None
    assert fixed.bytes == 0.5 * GIB


def test_the_cache_of_hf_is_as_long_as_the_longest_completion(small: Architecture) -> None:
    parts = plan_memory(small, settings(engine="hf", max_rows=40)).phases["sample"].parts
    rows = 32  # groups of 16 are never split
    assert parts["engine: keys and values"] == pytest.approx(rows * 256 * 2 * 4 * 2 * 64 * 2 * (1 + 1 / 4))


def test_fragments_are_a_share_of_the_rest(small: Architecture) -> None:
    parts = dict(plan_memory(small, settings()).phases["train"].parts)
    fragments = parts.pop("allowance: fragments")
    assert fragments == pytest.approx(FRAGMENTS * sum(parts.values()))


def test_a_row_is_as_long_as_the_longest_sequence(small: Architecture) -> None:
    short, long = (plan_memory(small, settings(row_tokens=n, new_tokens=1984)) for n in (512, 2048))
    assert short.phases["train"].total == long.phases["train"].total


def test_auto_sleeps_and_offloads_only_where_it_has_to(small: Architecture) -> None:
    undecided = settings(sleep=None, offload_optimizer=None)
    roomy = resolved(small, replace(undecided, gpu_gib=200.0, kv_cache_gib=1.0))
    assert (roomy.sleep, roomy.offload_optimizer) == (False, False)
    beside = plan_memory(small, replace(undecided, sleep=False, kv_cache_gib=1.0)).phases
    asleep = plan_memory(small, replace(undecided, sleep=True, kv_cache_gib=1.0)).phases
    between = (max(asleep["train"].total, asleep["sample"].total) + beside["train"].total) / 2 / 0.985 / GIB
    chosen = resolved(small, replace(undecided, gpu_gib=between, kv_cache_gib=1.0))
    assert (chosen.sleep, chosen.offload_optimizer) == (True, False)
    state = asleep["sample"].parts["optimiser state"]
    tight = replace(undecided, kv_cache_gib=3.0)
    with_state = plan_memory(small, replace(tight, sleep=True)).phases["sample"].total
    chosen = resolved(small, replace(tight, gpu_gib=(with_state - state / 2) / 0.985 / GIB))
    assert (chosen.sleep, chosen.offload_optimizer) == (True, True)


def test_what_was_decided_by_hand_stays(small: Architecture) -> None:
    chosen = settings(sleep=False, offload_optimizer=True, gpu_gib=0.1)
    assert resolved(small, chosen) == chosen


@pytest.mark.slow
def test_a_cure_is_named_only_where_it_helps_and_the_cheapest_set_fits(small: Architecture) -> None:
    heavy = settings(checkpointing=False, row_tokens=4096, kv_cache_gib=0.05, fused=False)
    phases = plan_memory(small, heavy).phases
    others = max(phase.total for name, phase in phases.items() if name != "train")
    assert phases["train"].total > 1.1 * others
    unfit = replace(heavy, gpu_gib=1.05 * others / 0.985 / GIB)
    assert not plan_memory(small, unfit).fits
    advised = advice(small, unfit)
    assert advised.cheapest
    cured = unfit
    for cure in advised.cheapest:
        cured = cure.of(cured)
    assert plan_memory(small, cured).fits
    for left_out in advised.cheapest:  # none of them is idle
        fewer = unfit
        for cure in advised.cheapest:
            fewer = fewer if cure is left_out else cure.of(fewer)
        assert not plan_memory(small, fewer).fits
    for remedy in advised.remedies:
        after = plan_memory(small, remedy.cure.of(unfit)).phases[remedy.phase].total
        assert remedy.saved == plan_memory(small, unfit).phases[remedy.phase].total - after > 0
    assert "optimizer.fused=true" not in {remedy.cure.words for remedy in advised.remedies}  # the step does fit


def test_what_is_on_already_is_no_cure(small: Architecture) -> None:
    on = settings(optimizer="adamw8bit", offload_optimizer=True, weights="bfloat16", chunk_tokens=256)
    words = {cure.words.partition("=")[0] for cure in candidates(small, plan_memory(small, on))}
    assert words <= {"rollout.gpu_memory_share", "batching.row_tokens"}


def test_no_setting_and_no_number_of_gpus_helps_a_card_without_memory(small: Architecture) -> None:
    advised = advice(small, settings(gpu_gib=0.5))
    assert advised.cheapest == ()
    assert advised.gpus is None
