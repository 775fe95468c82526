"""A mistake on the command line costs seconds: exit code 2, one line that names the key and a cure, nothing is left.

Every case is a `python run.py`, started in an empty folder of its own, two at a time.
"""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from tests.models.folders import POINTER
from tests.processes import python

RUN = Path(__file__).parents[2] / "run.py"
ONLINE = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:9"}
"""A hub that does not answer; port 9 (discard) refuses at once."""


@dataclass(frozen=True)
class Case:
    """A command line with one mistake. `{tmp}` is its empty folder, `{model}` a loadable Hugging Face folder."""

    name: str
    arguments: str
    says: tuple[str, ...]
    """Patterns that the error line must hold, each from the start of a key or word: the key or file, then the cure."""
    slow: bool = True
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    where: str = "model.path={model} hydra.run.dir={tmp}/run"


def one_problem(**changed: object) -> str:
    record = {"problem": "1 + 1 =", "answer": "2"} | changed
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in record.items()) + "}\n"


def case(name: str, arguments: str, *says: str, **more: object) -> Case:
    return Case(name, arguments, says, **more)  # type: ignore[arg-type]


TINY_DATA = "data=local data.path={tmp}/data.jsonl"
ELSEWHERE = "hydra.run.dir={tmp}/run"

CASES = [
    # keys and choices
    case("unknown key", "objective.betta=4", r"objective\.betta", r"mean objective\.beta\b", slow=False),
    case("unknown key in another group", "batching.prompts_per_updat=4", r"mean batching\.prompts_per_update\b"),
    case("unknown top-level key", "learning_rate=1e-3", r"learning_rate: no such key", r"mean optimizer\.lr\?"),
    case("misspelt top-level key", "iteration=3", r"iteration: no such key", r"mean iterations\b"),
    case(
        "unknown choice",
        "objective=rsgrpo",
        r"objective=rsgrpo",
        r"mean rs_grpo\?",
        r"one of .*grpo, .*rs_grpo",
        slow=False,
    ),
    case("unknown group", "objectives=grpo", r"objectives: no such key", r"mean objective\b"),
    case("dataset without a place", "+dataset=math500", r"\+dataset@data\.tests\.NAME=math500"),
    case("nothing for a group", "objective=null", r"objective=null", r"one of .*rs_grpo"),
    case("unknown task", "task=nope", r"task=nope", r"one of .*train"),
    case("key the class does not take", "+objective.tau=1", r"objective\.tau", r"remove|takes no"),
    case("broken syntax", "objective.beta=[", r"objective\.beta"),
    # values
    case("text for a number", "objective.beta=abc", r"objective\.beta=abc", "a number", slow=False),
    case("not a number", "objective.beta=nan", r"objective\.beta=nan", "finite"),
    case("text for a whole number", "iterations=many", r"iterations=many", "a whole number"),
    case("fraction for a whole number", "batching.epochs=1.5", r"batching\.epochs=1\.5", "a whole number"),
    case("no iteration", "iterations=0", r"iterations=0", "at least 1"),
    case("negative seed", "seed=-1", r"seed=-1", "at least 0"),
    case(
        "group of one",
        "batching.completions_per_prompt=1",
        r"batching\.completions_per_prompt=1\b",
        "at least 2",
        slow=False,
    ),
    case(
        "mini-batch larger than the batch",
        "batching.prompts_per_iteration=8 batching.prompts_per_update=16",
        r"batching\.prompts_per_update=16",
        r"try batching\.prompts_per_update=8",
    ),
    case(
        "mini-batch that does not divide the batch",
        "batching.prompts_per_iteration=8 batching.prompts_per_update=3",
        r"batching\.prompts_per_update=3",
        r"try batching\.prompts_per_update=1\b",
    ),
    case("k beyond the completions", "eval.k=[1,65]", r"eval\.k=\[1, 65\]", r"from 1 to the 64"),
    case("temperatures in training", "eval.temperature=[0.6,1]", r"eval\.temperature=\[0\.6, 1", r"eval\.sampling\."),
    case("completions kept in training", "eval.keep=all", r"eval\.keep=all", "task=evaluate"),
    case("k that is no list", "eval.k=5", r"eval\.k=5", r"list|\["),
    case(
        "k of the callback beyond the completions",
        "callbacks.evaluation.k=[1,65]",
        r"callbacks\.evaluation\.k=\[1, 65\]",
        r"try callbacks\.evaluation\.k=\[1\]",
        slow=False,
    ),
    case("logger of Lightning's with another argument", "+logger.foo=1", r"logger\.foo", "takes no such argument"),
    case("betas that are no list", "optimizer.betas=0.9", r"optimizer\.betas=0\.9", "2 numbers"),
    case("truncated sampling in training", "sampling.top_p=0.9", r"sampling\.top_p=0\.9", r"sampling\.top_p=1"),
    case("unknown aggregation", "loss.aggregation=foo", r"loss\.aggregation=foo", "token_mean, sequence_mean"),
    case("engine without rows", "rollout.max_rows=0", r"rollout\.max_rows=0", "at least 1"),
    case(
        "schedule that never comes",
        "callbacks.checkpoint.every=0 experiment=smoke iterations=1",
        r"callbacks\.checkpoint\.every=0",
        "at least 1",
    ),
    case("unknown precision", "trainer.precision=lots", r"trainer\.precision=lots", "bf16-mixed"),
    case("no threads", "trainer.threads=0", r"trainer\.threads=0", r"trainer\.threads=1"),
    case("key of another choice", "objective=grpo objective.beta=4", r"objective\.beta", "remove it"),
    case("key without its group", "beta=3", r"beta: no such key", r"objective\.beta, or"),
    case("misspelt callback to remove", "~callbacks.timming", r"callbacks\.timming", r"mean callbacks\.timing\?"),
    case(
        "metric of one's own without its words",
        "callbacks.mine=my_metrics.longest",
        r"callbacks\.mine: no such key",
        r"'\+callbacks\.mine\._target_=my_metrics\.longest'",
    ),
    case(
        "metric of one's own without its last word",
        "+callbacks.mine=my_metrics.longest",
        r"callbacks\.mine=my_metrics\.longest",
        r"'\+callbacks\.mine\._target_=my_metrics\.longest'",
    ),
    case(
        "metric of one's own in the place of another",
        "callbacks.timing=my_metrics.longest",
        r"callbacks\.timing=my_metrics\.longest",
        r"'callbacks\.timing\._target_=my_metrics\.longest'",
    ),
    case("sweep without -m", "optimizer.lr=1e-4,2e-4", r"optimizer\.lr", "-m"),
    case(
        "class without the method",
        "objective=custom objective._target_=builtins.dict",
        r"objective\._target_=builtins\.dict",
        "advantages",
    ),
    # classes of one's own
    case(
        "custom objective without a class",
        "objective=custom",
        r"objective\._target_ is not set",
        r"objective\._target_=",
    ),
    case(
        "class that cannot be imported",
        "objective=custom objective._target_=no_such_module.Mine",
        r"objective\._target_=no_such_module\.Mine",
        "PYTHONPATH",
    ),
    # objectives and schedules
    case(
        "k larger than the group",
        "objective=pkpo objective.k=17",
        r"objective\.k=17\b",
        "N = 16",
        r"try objective\.k=16\b",
        r"batching\.completions_per_prompt",
        slow=False,
    ),
    case(
        "k that leaves too few others",
        "objective=maxpo objective.k=16",
        r"objective\.k=16\b",
        r"at most N - 1",
        r"try objective\.k=15\b",
        r"batching\.completions_per_prompt",
    ),
    case("k below 1", "objective=chen objective.k=0", r"objective\.k=0\b", r"try objective\.k=1\b"),
    case(
        "unknown estimator", "objective.estimator=nosuch", r"objective\.estimator=nosuch", "one of plugin, loo, vimco"
    ),
    case(
        "KL that no group of 16 reaches",
        "objective=entropic objective.kl=5",
        r"objective\.kl=5",
        r"try objective\.kl=2\.4",  # 0.9 log 16
    ),
    case(
        "group of one for an objective that compares",
        "batching.completions_per_prompt=1 objective=rloo",
        r"batching\.completions_per_prompt=1\b",
        "at least 2",
    ),
    case(
        "unknown schedule",
        "schedule=nosuch",
        r"schedule=nosuch",
        "adaptive, constant, cosine, custom, linear, switch",
        slow=False,
    ),
    case("schedule without time", "schedule=linear schedule.decay=0", r"schedule\.decay=0", r"try schedule\.decay=1"),
    case(
        "schedule of nothing",
        "schedule=linear objective=grpo",
        "schedule: GRPO",
        r"schedule=constant",
        slow=False,
    ),
    case(
        "schedule that starts where groups are too small",
        "schedule=linear schedule.start=32 objective=maxpo",
        r"(objective\.k|schedule\.start)=32\b",
        "N = 16",
        r"batching\.completions_per_prompt",
    ),
    case(
        "rescaling by a beta that does not exist",
        "schedule.rescale=times_beta objective=grpo",
        r"schedule\.rescale=times_beta",
        r"schedule\.rescale=unit_rms",
    ),
    case(
        "rescaling by a beta that ends at zero",
        "schedule=switch schedule.rescale=times_beta",
        r"schedule\.rescale=times_beta",
        r"schedule\.rescale=unit_rms",
    ),
    case("unknown rescaling", "schedule.rescale=nosuch", r"schedule\.rescale=nosuch", "none, times_beta, unit_rms"),
    case(
        "curve of beta for k",
        "schedule=adaptive schedule.curve=peak objective=maxpo",
        r"schedule\.curve=peak",
        r"schedule\.curve=linear",
    ),
    case(
        "accuracies of no run",
        "schedule=adaptive schedule.source=offline",
        r"schedule\.run=None",
        r"schedule\.run=outputs/RUN",
    ),
    case(
        "accuracies of a run without records",
        "schedule=adaptive schedule.source=offline schedule.run={tmp}/old",
        r"schedule\.run=\{tmp\}/old",
        r"schedule\.run=outputs/RUN",
        files={"old/overrides.yaml": "[]\n"},
    ),
    # adapters
    case("adapters without a rank", "model.lora.alpha=16", r"model\.lora\.alpha=16", r"add model\.lora\.rank=16"),
    case(
        "adapters of a rank that is not low",
        "model.lora.rank=1000",
        r"model\.lora\.rank=1000",
        r"try model\.lora\.rank=16",
    ),
    case("engine of no class", "rollout=custom", r"rollout\._target_ is not set", r"rollout\._target_="),
    case("adapters of no rank", "model.lora.rank=0", r"model\.lora\.rank=0", r"try model\.lora\.rank=1\b"),
    case("half a rank", "model.lora.rank=2.5", r"model\.lora\.rank=2\.5", "a whole number"),
    case("rank without its key", "model.lora=16", r"model\.lora=16", r"try model\.lora\.rank=16"),
    case("adapters with dropout", "model.lora.rank=4 +model.lora.dropout=0.1", r"model\.lora\.dropout", "remove"),
    case(
        "layers that are no list",
        "model.lora.rank=4 model.lora.target_modules=q_proj",
        r"model\.lora\.target_modules=q_proj",
        r"try model\.lora\.target_modules=\[q_proj",
    ),
    case(
        "layer that does not exist",
        "model.lora.rank=4 model.lora.target_modules=[q_prj]",
        r"model\.lora\.target_modules=\[q_prj\]",
        "choose from q_proj, k_proj",
        slow=False,
    ),
    # data
    case("data without a path", "data=local", r"data\.path is not set", r"data\.path="),
    case("missing data file", "data=local data.path={tmp}/no.jsonl", r"data\.path=\S+/no\.jsonl", "no such file"),
    case(
        "malformed data line",
        TINY_DATA,
        r"data\.jsonl line 2\b",
        "one JSON object a line",
        files={"data.jsonl": one_problem() + "{oops\n"},
        slow=False,
    ),
    case(
        "line without an answer field",
        TINY_DATA,
        r"data\.jsonl line 1\b",
        r"data\.columns\.answer",
        files={"data.jsonl": '{"problem": "1 + 1", "solution": "2"}\n'},
    ),
    case(
        "no gold answer",
        TINY_DATA,
        r"data\.path=\S+/data\.jsonl",
        "2 with an empty problem or answer",
        r"data\.jsonl line 1\b",
        files={"data.jsonl": one_problem(answer="") + one_problem(problem="2 + 2 =", answer=" ")},
    ),
    case(
        "no gold answer that can be compared with",
        TINY_DATA,
        "the train split is empty",
        "1 with an answer that cannot be compared with",
        r"data\.columns\.answer=",
        files={"data.jsonl": one_problem(answer="((")},
    ),
    case(
        "problems that the built-in base cannot read",
        TINY_DATA,
        "model.path is not set",
        r"data\.suffix",
        r"model\.path=",
        files={"data.jsonl": one_problem()},
        where=ELSEWHERE,
    ),
    case("empty data file", TINY_DATA, r"data\.path=\S+/data\.jsonl", "no problem", files={"data.jsonl": "\n"}),
    case(
        "missing validation file",
        f"{TINY_DATA} data.validation_path={{tmp}}/no.jsonl",
        r"data\.validation_path=\S+/no\.jsonl",
        "no such file",
        files={"data.jsonl": one_problem()},
    ),
    case(
        "prompt longer than the context",
        TINY_DATA,
        r"data\.jsonl line 2\b",
        "context of 2048",
        r"data\.max_prompt_tokens=",
        files={"data.jsonl": one_problem() + one_problem(problem="1 " * 2048)},
    ),
    case("every prompt too long", "data.max_prompt_tokens=1", r"data\.max_prompt_tokens", "empty"),
    # machine
    case(
        "run folder below a file",
        "",
        r"\{tmp\}/file/run",
        r"hydra\.run\.dir=",
        files={"file": "not a folder"},
        where="model.path={model} hydra.run.dir={tmp}/file/run",
    ),
    case(
        "weights and GPU missing, hub unreachable",
        "model=qwen3_4b",
        r"model\.path=Qwen/Qwen3-4B-Base",
        r"model\.path=/path",
        environment=ONLINE,
        where=ELSEWHERE,
    ),
    case(
        "weights and GPU missing, hub switched off",
        "model=qwen3_4b",
        r"model\.path=Qwen/Qwen3-4B-Base",
        "HF_HUB_OFFLINE",
        environment={"HF_HUB_OFFLINE": "1"},
        where=ELSEWHERE,
    ),
    case("GPU missing", "trainer=gpu", "trainer=gpu", "trainer=cpu", environment={"CUDA_VISIBLE_DEVICES": ""}),
    case(
        "weights that do not exist",
        "model.path=/nonexistent",
        r"model\.path=/nonexistent",
        "Hugging Face folder",
        where=ELSEWHERE,
    ),
    case(
        "folder that is no model",
        "model.path={tmp}",
        r"model\.path=\{tmp\}",
        "Hugging Face folder",
        where=ELSEWHERE,
    ),
    case(
        "weights that were not fetched",
        "model.path={tmp}",
        r"model\.path=\{tmp\}",
        "model.safetensors is a Git LFS pointer",
        "git -C",
        files={"config.json": '{"model_type": "qwen3"}', "model.safetensors": POINTER},
        where=ELSEWHERE,
    ),
    case(
        "adapters for a model",
        "model.path={tmp}",
        r"model\.path=\{tmp\}: holds adapters",
        "merge",
        files={"adapter_config.json": "{}"},
        where=ELSEWHERE,
    ),
    # resuming
    case("checkpoint that does not exist", "ckpt=/nonexistent", "ckpt=/nonexistent", "name a folder"),
    case(
        "run without a checkpoint",
        "ckpt={tmp}/old",
        r"ckpt=\{tmp\}/old",
        r"callbacks\.checkpoint\.every",
        files={"old/overrides.yaml": "[]\n"},
    ),
    case(
        "resumed sweep",
        "-m seed=0,1 ckpt={tmp}/old",
        r"ckpt=\{tmp\}/old",
        "leave out -m",
        files={"old/overrides.yaml": "[]\n"},
    ),
    case("several devices", "trainer.devices=2", r"trainer\.devices=2", "trainer=fsdp2 trainer.devices=2"),
    case("no number of devices", "trainer=fsdp2 trainer.devices=abc", r"trainer\.devices=abc", "trainer.devices=1"),
    case("pretraining a given model", "task=pretrain", r"task=pretrain", "model=tiny"),
    case(
        "weights of another task",
        "data=arithmetic demonstrations.operator_weights=[1,1,1,1]",
        r"demonstrations\.operator_weights",
        "demonstrations=countdown has it",
    ),
    case(
        "demonstrations out of range",
        "demonstrations.failure_rates=[1]",
        r"demonstrations\.failure_rates=\[1\]",
        r"try demonstrations\.failure_rates=",
        where="hydra.run.dir={tmp}/run",
    ),
    case(
        "demonstrations that are no corpus",
        "demonstrations._target_=builtins.dict",
        r"demonstrations\._target_=builtins\.dict is not a corpus",
        r"draw\(problem, rng\)",
        where="hydra.run.dir={tmp}/run",
    ),
    case("a puzzle of five numbers", "data=countdown4 data.numbers=5", r"data\.numbers=5", "choose one of 3, 4"),
    case("a grade that is no grade", "reward.graded=0.5", r"reward\.graded=0\.5", "true or false"),
    # where runs go when nothing is said
    case("first run ever, refused", "objective.beta=abc", r"objective\.beta=abc", where="model.path={model}"),
    case("sweep of mistakes", "-m objective.beta=abc,def", r"objective\.beta=abc", where="model.path={model}"),
]


def parametrized() -> list[object]:
    return [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.slow else []) for c in CASES]


@dataclass(frozen=True)
class Outcome:
    """What a finished command left: its exit code, its words, and the names in its folder before and after."""

    code: int
    out: str
    err: str
    before: set[str]
    after: set[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, so that nothing pretrains."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = build_tokenizer()
    Policy(build_model(tokenizer, hidden_size=32, num_layers=1, seed=0), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """The outcome of every selected case, by name. All are started here, two at a time, since each costs seconds."""
    items = (item for item in request.session.items if item.path == request.path)
    selected = [getattr(item, "callspec", None) for item in items]
    chosen = [spec.params["case"] for spec in selected if spec and "case" in spec.params]
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            chosen_case.name: pool.submit(_run, chosen_case, model, tmp_path_factory.mktemp("case"))
            for chosen_case in chosen
        }
        pool.shutdown(cancel_futures=True)


def _run(chosen: Case, model: Path, tmp: Path) -> Outcome:
    for name, content in chosen.files.items():
        (tmp / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp / name).write_text(content)
    words = f"{chosen.arguments} {chosen.where}".format(tmp=tmp, model=model).split()
    before = _names(tmp)
    done = python(str(RUN), *words, cwd=tmp, variables={"RSGRPO_CACHE": str(tmp / "cache")} | chosen.environment)
    out, err = (text.replace(str(tmp), "{tmp}") for text in (done.stdout, done.stderr))
    return Outcome(done.returncode, out, err, before, _names(tmp))


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("case", parametrized())
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(case: Case, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[case.name].result()
    said = f"\n--- stdout\n{outcome.out}\n--- stderr\n{outcome.err}"
    assert "Traceback" not in outcome.out + outcome.err, said
    assert outcome.code == 2, said
    errors = [line for line in (outcome.out + outcome.err).splitlines() if line.startswith("error:")]
    if "-m" in case.arguments.split() and len(errors) > 1:  # a sentence for each job, then which they were
        *errors, summary = errors
        assert summary.startswith(f"error: {len(errors)} of {len(errors)} jobs failed"), said
    assert len(errors) == 1 or "-m" in case.arguments.split(), said
    missing = [pattern for pattern in case.says if not re.search(rf"(?<![\w.])(?:{pattern})", errors[0])]
    assert not missing, f"not said: {missing}\n{errors[0]}"
    assert outcome.after == outcome.before, f"left behind: {sorted(outcome.after - outcome.before)}{said}"


def test_the_table_names_each_case_once() -> None:
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_rewards_that_an_objective_is_not_defined_for_end_the_first_iteration(model: Path, tmp_path: Path) -> None:
    """The reward is only known once something was sampled: by then there is a run folder."""
    run = tmp_path / "run"
    case_of_reward = case(
        "reward that is not binary",
        "objective=mahdavi reward=custom reward._target_=tests.command_line.half_reward.HalfReward "
        "data=local data.path={tmp}/data.jsonl data.suffix=''",
        files={"data.jsonl": "".join(one_problem(problem=f"{i} + 1 =") for i in range(8))},
        where="model.path={model} hydra.run.dir={tmp}/run",
    )
    outcome = _run(case_of_reward, model, tmp_path)
    said = f"\n--- stdout\n{outcome.out}\n--- stderr\n{outcome.err}"
    assert "Traceback" not in outcome.out + outcome.err, said
    assert outcome.code == 2, said
    errors = [line for line in (outcome.out + outcome.err).splitlines() if line.startswith("error:")]
    assert len(errors) == 1, said
    assert re.search(r"objective mahdavi is defined for rewards of 0 and 1 only and got 0\.5; ", errors[0]), said
    assert re.search(r"change the reward, or use .*objective=maxpo", errors[0]), said
    assert not (run / "prompts.jsonl").exists(), "an iteration was finished"
