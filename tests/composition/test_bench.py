"""The arms of a bench and the words of its runs."""

from rsgrpo.bench.cells import Arm, BenchSettings, Cell
from rsgrpo.composition.bench import settings_of, words_of

SETTINGS = BenchSettings(
    arms=[],
    tasks=["countdown"],
    pairs=[[0, 0]],
    tuning=[[2, 10]],
    rates=[7e-5],
    words=["model=tiny"],
    tuning_words=["eval.base=false"],
    reported_words=["eval.validation_prompts=1"],
)
MINE = Arm(name="mine", words=["objective=custom", "objective._target_=my.Mine"])


def test_the_words_of_a_run_end_with_what_tells_it_from_the_others_of_its_arm() -> None:
    tunes, reported = (
        Cell(arm=MINE, task="countdown", base=1, seed=2, rate=7e-5, tunes=tunes) for tunes in (True, False)
    )
    own = ["model.pretrain.seed=1", "seed=2", "optimizer.lr=7e-05"]

    assert words_of(reported, SETTINGS) == [
        *("data=countdown", "model=tiny", "eval.validation_prompts=1"),
        *("objective=custom", "objective._target_=my.Mine", *own),
    ]
    assert words_of(tunes, SETTINGS)[2] == "eval.base=false"
    assert reported.name == "countdown_mine_base1_seed2_lr7e-05"


def test_settings_are_without_what_differs_between_the_runs_of_an_arm_and_what_changes_no_number() -> None:
    config = {
        "seed": 3,
        "model": {"pretrain": {"seed": 1, "steps": 5}, "cache_dir": "/here"},
        "optimizer": {"lr": 1e-3, "grad_clip": 1.0},
        "callbacks": {"progress": {"every": 1}},
        "spurious": {"seed": 3, "share": 0.5},
    }

    assert settings_of(config) == {"model.pretrain.steps": 5, "optimizer.grad_clip": 1.0, "spurious.share": 0.5}
