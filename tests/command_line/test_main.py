"""What is said about a mistake, and what a resumed run is started with."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from rsgrpo import main as command_line
from rsgrpo import run_folder
from rsgrpo.command_line.arguments import CommandLine, read_command_line
from rsgrpo.command_line.errors import explain
from rsgrpo.command_line.resume import with_settings_of_run
from rsgrpo.command_line.same_run import MAY_CHANGE, check_same_run, config_hash, may_change
from rsgrpo.errors import FieldError, UserError
from rsgrpo.main import start
from tests.run_folders import write_checkpoint

CONF = Path(__file__).parents[2] / "conf"


NOTHING = CommandLine(flags=(), overrides=(), conf=CONF, own=None)


def explained(*overrides: str) -> str:
    """What is said about a command line that does not compose."""
    try:
        line = read_command_line(overrides, CONF)
    except UserError as error:
        return str(error)
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(Exception) as caught:  # noqa: PT011
        compose("config", list(overrides))
    return explain(caught.value, line)


# What is said


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        pytest.param(
            "objective.betta=4",
            "objective.betta: no such key; did you mean objective.beta?",
            id="misspelt key",
        ),
        pytest.param(
            "seeds=4",
            "seeds: no such key; did you mean seed?",
            id="misspelt top-level key",
        ),
        pytest.param(
            "zzzz=4",
            "zzzz: no such key; `python run.py --cfg job` shows them all",
            id="nothing is near",
        ),
        pytest.param(
            "objective.shape=4",
            "objective.shape: no such key; objective has beta, estimator",
            id="a key of another group",
        ),
        pytest.param(
            "objective=grp",
            "objective=grp: no such choice, did you mean grpo?; objective is one of custom, grpo, rs_grpo",
            id="misspelt choice",
        ),
        pytest.param(
            "filter=zzzz",
            "filter=zzzz: no such choice; filter is one of drop_equal_rewards, none",
            id="no choice is near",
        ),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_known_one(override: str, sentence: str) -> None:
    """Choices may be added: the list of them is compared with the folder, not with the sentence."""
    said = explained(override)
    head, _, known = said.partition(" is one of ")
    assert head == sentence.partition(" is one of ")[0]
    if known:
        assert known.split(", ") == sorted(file.stem for file in (CONF / head.rsplit(" ", 1)[1]).glob("*.yaml"))


@pytest.mark.parametrize(
    "override",
    ["objective.betta=4", "objective.step=3", "loss.gradclip=1", "learning_rate=1", "batch_size=4", "kl=0.1"],
)
def test_a_key_is_only_suggested_where_it_exists(override: str) -> None:
    """`steps` is a key of another section: `objective.steps` would be the next mistake."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config")
    suggested = re.findall(r"did you mean ([\w.]+)\?", explained(override))
    exists = [OmegaConf.is_missing(cfg, key) or OmegaConf.select(cfg, key, default=...) is not ... for key in suggested]
    assert all(exists), suggested


@pytest.mark.parametrize("override", ["objective.betta=4", "objective=rsgrpo", "objectiv=grpo", "objective.beta=["])
def test_what_is_said_is_one_line(override: str) -> None:
    assert len(explained(override).splitlines()) == 1


def test_an_error_of_ours_is_said_in_its_own_words() -> None:
    assert explain(UserError("Key 'x' Could not override 'y'"), NOTHING) == "Key 'x' Could not override 'y'"


def test_an_error_that_nobody_foresaw_is_its_first_line() -> None:
    """The others hold advice for users of Hydra."""
    assert explain(ValueError("first\n  second\n"), NOTHING) == "first"


def _raises(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("traceback", ["", "1"])
def test_a_users_mistake_is_exit_code_2_and_a_traceback_only_on_request(
    traceback: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py"])
    monkeypatch.setenv("RSGRPO_TRACEBACK", traceback)
    if traceback:
        with pytest.raises(UserError, match="a sentence"):
            start(lambda: _raises(UserError("a sentence")), CONF)
    else:
        assert start(lambda: _raises(UserError("a sentence")), CONF) == 2
        assert capsys.readouterr() == ("", "error: a sentence\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py"])
    with pytest.raises(ZeroDivisionError):
        start(lambda: _raises(ZeroDivisionError()), CONF)


def test_a_run_that_works_is_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "seed=1"])
    assert start(lambda: None, CONF) == 0


def test_a_checkpoint_that_is_not_there_is_said_before_hydra_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "ckpt=/nonexistent"])
    assert start(lambda: pytest.fail("Hydra was started"), CONF) == command_line.USER_ERROR
    assert capsys.readouterr().err.startswith("error: ckpt=/nonexistent")


def test_a_field_error_carries_what_the_command_line_needs() -> None:
    error = FieldError("beta", float("inf"), "must be finite", "try beta=2")
    assert (error.name, str(error)) == ("beta", "beta=inf must be finite; try beta=2")


# Resuming


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two checkpoints, started with three overrides."""
    folder = tmp_path / "a run"
    for iteration in (3, 6):
        write_checkpoint(folder, iteration)
    (folder / run_folder.OVERRIDES).write_text("- objective=grpo\n- +objective.tau=0.5\n- seed=7\n- iterations=6\n")
    return folder


@pytest.mark.parametrize("arguments", [[], ["seed=1", "-m"], ["ckpt=null"], ["ckpt="], ["--help"]])
def test_a_fresh_run_keeps_its_command_line(arguments: list[str]) -> None:
    assert with_settings_of_run(arguments) == arguments


def read_by_hydra(arguments: list[str]) -> dict[str, object]:
    return {word.get_key_element(): word.value() for word in OverridesParser.create().parse_overrides(arguments)}


def test_a_resumed_run_is_started_as_it_was_in_its_own_folder(run: Path) -> None:
    assert read_by_hydra(with_settings_of_run([f"ckpt={run}"])) == {
        "objective": "grpo",
        "+objective.tau": 0.5,
        "seed": 7,
        "iterations": 6,
        "ckpt": str(run),
        "hydra.run.dir": str(run),
    }


@pytest.mark.parametrize("name", ["a run", "beta=4_seed=1", "0,1", "run(1)"])
def test_a_run_is_resumed_whatever_its_folder_is_called(run: Path, name: str) -> None:
    """Run folders are named after their overrides, and `=` means something to Hydra."""
    renamed = run.rename(run.with_name(name))
    resumed = read_by_hydra(with_settings_of_run([f"ckpt={renamed}", "iterations=9"]))
    assert (resumed["ckpt"], resumed["hydra.run.dir"], resumed["iterations"]) == (str(renamed), str(renamed), 9)


@pytest.mark.parametrize(
    ("given", "replaced"),
    [
        ("iterations=12", "iterations=6"),
        ("seed=8", "seed=7"),
        ("+objective.tau=1", "+objective.tau=0.5"),
        ("++objective.tau=1", "+objective.tau=0.5"),
    ],
)
def test_what_is_given_now_replaces_what_was_given_then(run: Path, given: str, replaced: str) -> None:
    resumed = with_settings_of_run([f"ckpt={run}", given])
    assert given in resumed
    assert replaced not in resumed
    assert len(resumed) == 6


@pytest.mark.parametrize("name", ["iteration_000003", "iteration_000006"])
def test_one_of_its_checkpoints_stands_for_the_run(run: Path, name: str) -> None:
    checkpoint = str(run / run_folder.CHECKPOINTS / name)
    resumed = read_by_hydra(with_settings_of_run([f"ckpt={checkpoint}"]))
    assert (resumed["seed"], resumed["ckpt"], resumed["hydra.run.dir"]) == (7, checkpoint, str(run))


def test_a_relative_run_folder_is_made_absolute(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra may change the working directory after this."""
    monkeypatch.chdir(run.parent)
    assert read_by_hydra(with_settings_of_run([f"ckpt={run.name}"]))["hydra.run.dir"] == str(run)


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_cannot_be_resumed(run: Path, flag: str) -> None:
    with pytest.raises(UserError, match=r"ckpt=.* resumes one run; leave out -m"):
        with_settings_of_run([f"ckpt={run}", "seed=0,1", flag])


def test_a_run_without_its_overrides_is_refused(run: Path) -> None:
    (run / run_folder.OVERRIDES).unlink()
    with pytest.raises(UserError, match=r"overrides\.yaml is missing; restore it from a copy"):
        with_settings_of_run([f"ckpt={run}"])


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        pytest.param(False, "no such run folder or checkpoint", id="no folder"),
        pytest.param(True, r"no checkpoint in .*every=", id="no checkpoint"),
    ],
)
def test_a_folder_that_cannot_be_resumed_is_refused(tmp_path: Path, keep: bool, sentence: str) -> None:
    folder = tmp_path / "run"
    if keep:
        folder.mkdir()
    with pytest.raises(UserError, match=sentence):
        with_settings_of_run([f"ckpt={folder}"])


def test_a_half_written_checkpoint_is_none(run: Path) -> None:
    for file in (run / run_folder.CHECKPOINTS).iterdir():
        file.rename(file.with_suffix(".unfinished"))
    with pytest.raises(UserError, match="no checkpoint in"):
        with_settings_of_run([f"ckpt={run}"])


def resumed_config(**changed: object) -> DictConfig:
    settings = {
        "ckpt": "outputs/old",
        "seed": 0,
        "iterations": 6,
        "objective": {"_target_": "a.B", "beta": 2.0},
        "batching": {"epochs": 1, "row_tokens": 4096},
        "model": {"path": None, "cache_dir": "/cache"},
        "callbacks": {"reward": {"_target_": "callbacks.reward.Reward"}},
        "trainer": {"accelerator": "cpu"},
        "k": "${iterations}",
    }
    cfg = OmegaConf.create(settings)
    for key, value in changed.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


@pytest.fixture
def began(tmp_path: Path) -> Path:
    """A run folder that holds the configuration it began with, interpolations resolved."""
    OmegaConf.save(resumed_config(k=6, ckpt=None), tmp_path / run_folder.CONFIG, resolve=True)
    return tmp_path


def test_a_run_may_be_continued_under_its_own_settings(began: Path) -> None:
    check_same_run(began, resumed_config())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("iterations", 12),
        ("trainer.accelerator", "gpu"),
        ("trainer.threads", 2),
        ("callbacks.reward._target_", "callbacks.entropy.Entropy"),
        ("callbacks", None),
        ("batching.row_tokens", 1024),
        ("model.cache_dir", "/elsewhere"),
        ("logger.name", "new"),
        ("rollout._target_", "a.Engine"),
    ],
)
def test_what_does_not_change_the_result_may_be_set_anew(began: Path, key: str, value: object) -> None:
    assert any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE)
    check_same_run(began, resumed_config(k=6, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", 1, "seed was 0 and is 1 now"),
        ("objective.beta", 4.0, r"objective\.beta was 2\.0 and is 4\.0 now"),
        ("objective._target_", "a.C", r"objective\._target_ was a\.B and is a\.C now"),
        ("objective.tau", 0.5, r"objective\.tau was null and is 0\.5 now"),
        ("batching.epochs", 2, r"batching\.epochs was 1 and is 2 now"),
        ("batching.row_tokens_too", 2, r"batching\.row_tokens_too"),
    ],
)
def test_what_makes_another_run_is_refused_with_the_way_to_start_one(
    began: Path, key: str, value: object, said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        check_same_run(began, resumed_config(**{key: value}))
    assert str(caught.value).startswith("ckpt=outputs/old: ")
    assert f"model.path={began / run_folder.POLICY}" in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        *("reward.workers", "reward.isolation", "reward.isolation.workers", "reward.isolation.timeout_s"),
        *("reward.isolation.memory_gib", "reward.rewards.brief.isolation.workers", "reward.rewards.my-own.workers"),
        *("data.path", "data.tests.mine.path", "model.path"),
    ],
)
def test_how_a_reward_is_run_and_where_data_lie_may_change(key: str) -> None:
    assert may_change(key)


@pytest.mark.parametrize(
    "key",
    ["reward._target_", "reward.isolated", "reward.timeout_s", "reward.weights.workers", "reward.rewards.brief.x"],
)
def test_what_a_reward_says_may_not_change(key: str) -> None:
    assert not may_change(key)


def test_a_run_of_an_earlier_version_lacks_settings_and_may_go_on(began: Path) -> None:
    """`began` has no section `eval`; what other settings such a run lacks is refused."""
    check_same_run(began, resumed_config(k=6, **{"eval.test_every": 20, "eval.curve_completions": 32}))
    with pytest.raises(UserError, match=r"eval\.every was null and is 5 now"):
        check_same_run(began, resumed_config(k=6, **{"eval.every": 5}))


def test_a_setting_that_was_taken_away_is_refused(began: Path) -> None:
    cfg = resumed_config()
    del cfg["objective"]["beta"]
    with pytest.raises(UserError, match=r"objective\.beta was 2\.0 and is null now"):
        check_same_run(began, cfg)


def test_demonstrations_that_were_never_read_do_not_make_another_run(began: Path) -> None:
    saved = resumed_config(k=6, ckpt=None, demonstrations={"numbers": 3})
    OmegaConf.save(saved, began / run_folder.CONFIG, resolve=True)
    check_same_run(began, resumed_config())
    with pytest.raises(UserError, match=r"demonstrations\.numbers was 3 and is 4 now"):
        check_same_run(began, resumed_config(demonstrations={"numbers": 4}))


@pytest.mark.parametrize(
    ("key", "value", "counts"),
    [
        ("seed", 1, True),
        ("iterations", 7, True),
        ("objective.beta", 2.5, True),
        ("objective.tau", None, True),
        ("trainer.accelerator", "gpu", True),
        ("objective.beta", 2, False),
        ("ckpt", "outputs/RUN", False),
        ("logger.save_dir", "outputs/RUN", False),
        ("callbacks.reward", None, False),
        ("model.cache_dir", "/elsewhere", False),
    ],
)
def test_the_hash_of_a_configuration_is_of_what_names_an_experiment(key: str, value: object, counts: bool) -> None:
    assert (config_hash(resumed_config(**{key: value})) != config_hash(resumed_config())) == counts


def test_the_order_of_keys_does_not_count() -> None:
    cfg = resumed_config()
    assert config_hash(OmegaConf.create({key: cfg[key] for key in sorted(cfg)})) == config_hash(cfg)


def test_every_key_that_a_resumed_run_may_change_exists() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["data=math12k", "schedule=linear"])
    missing = object()
    assert [key for key in MAY_CHANGE if OmegaConf.select(cfg, key, default=missing) is missing and key != "ckpt"] == []
