from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from rsgrpo.composition.recipe import build_recipe
from rsgrpo.composition.summary import Sizes, summary
from rsgrpo.rewards.base import close

CONF = Path(__file__).parents[2] / "conf"
SIZES = Sizes(
    parameters=4_022_468_096,
    trained=4_022_468_096,
    problems={"train": 11_858, "validation": 128, "test": 700},
    processes=1,
)


def lines(*overrides: str, sizes: Sizes = SIZES, trains: bool = True) -> dict[str, str]:
    """What a command line says at its start, by the name of the line."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*overrides, "hydra.runtime.output_dir=run"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        recipe = build_recipe(cfg)
        try:
            said = summary(cfg, recipe, sizes, Path("/outputs/a run"), trains=trains).splitlines()
        finally:
            close(recipe.reward)
    assert len({len(line) - len(line[10:].lstrip()) for line in said}) == 1, said  # aligned
    return {line[:10].rstrip(): line[10:].strip() for line in said}


def test_a_run_of_the_paper_says_what_it_is() -> None:
    said = lines("objective.beta=4", "model=qwen3_4b")
    assert said == {
        "objective": "rs_grpo beta=4 estimator=plugin; schedule constant",
        "loss": "clip, token_mean; filter drop_equal_rewards; lr 1e-06",
        "model": "qwen3_4b (Qwen/Qwen3-4B-Base), 4,022,468,096 parameters",
        "data": "math12k, 11,858 train + 128 validation + 700 test problems",
        "batch": "512 prompts x 16 completions, 16 updates per iteration in 1 epoch, 200 iterations",
        "engine": "vllm, completions of up to 8,192 tokens",
        "trainer": "gpu, 1 process, bf16-mixed",
        "run folder": "/outputs/a run",
    }


def test_epochs_multiply_updates() -> None:
    said = lines("batching.prompts_per_update=8", "batching.epochs=3", "iterations=1")
    assert said["batch"] == "32 prompts x 16 completions, 12 updates per iteration in 3 epochs, 1 iteration"


def test_a_schedule_shows_its_settings() -> None:
    said = lines("schedule=cosine", "schedule.rescale=unit_rms")
    assert said["objective"].endswith("; schedule cosine rescale=unit_rms start=8 hold=0")


def test_dr_grpo_comes_with_its_aggregation_which_may_be_set() -> None:
    assert lines("objective=dr_grpo")["loss"].startswith("clip, constant_sum;")
    assert lines("objective=dr_grpo", "loss.aggregation=token_mean")["loss"].startswith("clip, token_mean;")


def test_what_is_added_to_the_surrogate_is_said_beside_it() -> None:
    said = lines("term/kl=k3", "term/entropy=bonus", "term.entropy.coefficient=.01", "batching.max_refills=3")
    terms = "kl k3 place=loss coefficient=0.001 + entropy bonus coefficient=0.01"
    assert said["loss"] == f"clip, token_mean + {terms}; filter drop_equal_rewards, 3 refills at most; lr 0.0002"
    assert lines("order=posterior")["data"].endswith("problems, in the order posterior")


def test_a_shaping_is_said_where_there_is_one() -> None:
    assert "shaped" not in lines()["loss"]
    said = lines("shaping=clip_cov")["loss"]
    assert said.startswith("clip, token_mean; advantages shaped by clip_cov share=0.0002 low=1 high=5; filter drop_")


def test_a_correction_is_said_where_it_is_not_a_matter_of_course() -> None:
    half = replace(SIZES, half_precision=True)
    assert "correct" not in lines()["engine"]
    assert lines(sizes=half)["engine"].endswith("; corrected by token_truncate cap=2: it samples in bfloat16")
    assert lines("correction=none", sizes=half)["engine"].endswith("; bfloat16, not corrected")
    paper = lines("experiment=paper/qwen2_5_7b", sizes=half)["engine"]
    assert paper.endswith("; bfloat16, not corrected")
    assert lines("correction=token_mask")["engine"].endswith("; corrected by token_mask low=0.5 high=5")


def test_adapters_and_processes_are_counted() -> None:
    sizes = Sizes(parameters=1_000, trained=20, problems={"test": 3}, processes=8)
    said = lines("trainer=fsdp2", sizes=sizes)
    assert said["model"].endswith("1,000 parameters, 20 of them trained")
    assert (said["data"], said["trainer"]) == ("countdown, 3 test problems", "fsdp2, 8 processes, 32-true")


def test_an_evaluation_says_nothing_of_training() -> None:
    said = lines("task=evaluate", trains=False)
    assert {"objective", "loss", "batch"}.isdisjoint(said)
    assert said["samples"] == "32 per validation problem, 64 per test problem"


def test_a_schedule_of_the_learning_rate_is_told() -> None:
    assert lines("optimizer.lr_schedule=linear")["loss"].endswith("; lr 0.0002 linear")
    assert lines()["loss"].endswith("; lr 0.0002")


def test_what_departs_from_the_paper_is_told() -> None:
    fewer = ("batching.prompts_per_iteration=64", "trainer=cpu")
    assert lines("experiment=paper/qwen3_4b", *fewer)["departs"] == (
        "from the paper: batching.prompts_per_iteration=64 (512), trainer=cpu (gpu)"
    )
    assert "departs" not in lines("experiment=paper/qwen3_4b")
    assert "departs" not in lines("model=qwen3_4b", *fewer, trains=False)


def test_a_run_begins_with_its_summary(six_iterations: Path) -> None:
    said = (six_iterations / "terminal.txt").read_text()
    assert said.count("8 prompts x 4 completions, 2 updates per iteration in 1 epoch, 6 iterations") == 1
    assert said.count(f"run folder  {six_iterations}\n") == 1
    assert "4 validation + " in said
