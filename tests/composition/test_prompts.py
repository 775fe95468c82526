"""The problems of a run: what is recorded of them, and that a resumed run gets the same."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rsgrpo import run_folder
from rsgrpo.command_line.same_run import check_same_data
from rsgrpo.composition.prompts import describe, load_prompts, longest, readable
from rsgrpo.data.cleaning import in_words
from rsgrpo.data.countdown import Countdown
from rsgrpo.data.local import Local
from rsgrpo.data.maths import Maths
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import digest
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rewards.countdown import CountdownReward
from rsgrpo.rewards.math_verify import MathVerifyReward
from rsgrpo.training.datamodule import PromptData
from rsgrpo.types import Completion, Problem, Prompt, Score
from tests.data.test_source import CHATML
from tests.runs import RunPy
from tests.training.test_module import RECIPE


def prompts(*answers: str) -> list[Prompt]:
    return [
        Prompt(problem=Problem(id=str(i), text=f"{i}?", answer=answer), token_ids=(i, i + 1))
        for i, answer in enumerate(answers)
    ]


def a_run(folder: Path, train: Sequence[Prompt]) -> Path:
    """A run folder that remembers its data."""
    described = describe(Countdown(), PromptData(train, [], []))
    run_folder.write_json(folder / run_folder.RUN, {"data": described})
    return folder


def test_the_digest_changes_with_every_part_of_a_prompt_and_with_the_order():
    first, second = prompts("1", "2")
    others = [
        [second, first],
        [first],
        [first, replace(second, token_ids=(1, 3))],
        *([first, replace(second, problem=replace(second.problem, **{f: "x"}))] for f in ("id", "text", "answer")),
    ]
    digests = [digest(p) for p in ([first, second], *others)]
    assert len(set(digests)) == len(digests)
    assert digest([first, second]) == digest(prompts("1", "2"))


def test_a_resumed_run_has_the_same_problems(tmp_path: Path):
    run = a_run(tmp_path, prompts("1", "2"))
    check_same_data(run, describe(Countdown(), PromptData(prompts("1", "2"), [], [])))
    says = "its train split had 2 problems, the same settings now give 2, or others; restore the data"
    with pytest.raises(UserError, match=says):
        check_same_data(run, describe(Countdown(), PromptData(prompts("1", "3"), [], [])))
    with pytest.raises(UserError, match="its test split had 0 problems, the same settings now give 1"):
        check_same_data(run, describe(Countdown(), PromptData(prompts("1", "2"), [], prompts("1"))))


def test_a_run_of_before_its_data_was_recorded_goes_on(tmp_path: Path):
    run_folder.write_json(tmp_path / run_folder.RUN, {"format": 1})
    check_same_data(tmp_path, describe(Countdown(), PromptData(prompts("1"), [], [])))


def test_the_sources_of_a_data_set_are_recorded(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"problem": f"{i}?", "answer": str(i)}) + "\n" for i in range(4)))
    source = Maths(name="mine", path=str(file), validation=1)
    assert describe(source, PromptData(prompts("1"), [], []))["sources"] == {"mine": str(file)}
    assert "sources" not in describe(Countdown(), PromptData(prompts("1"), [], []))


def test_problems_whose_answer_cannot_be_compared_with_are_left_out():
    problems = prompts("1", "((", r"\frac{1}{2}", r"\kappa^{<\kappa}")
    reward = MathVerifyReward(workers=1)
    kept, left_out = readable(problems, reward)
    reward.close()
    assert kept == [problems[0], problems[2]]
    assert sum(left_out.values()) == 2
    assert readable(problems, CountdownReward()) == (problems, {})


def test_placeholders_and_sentences_are_left_out_as_prose():
    sentence = "The function is even on all of the real line"
    problems = prompts("5cm", "see solution", "N/A", sentence, "7")
    reward = MathVerifyReward(workers=1)
    kept, left_out = readable(problems, reward)
    reward.close()
    assert [prompt.problem.answer for prompt in kept] == ["5cm", "7"]
    assert in_words(left_out) == '3 with an answer that cannot be compared with: prose (for example "see solution", 1)'


class Picky:
    """A reward that reads figures alone."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(value=0.0, correct=False)

    def unreadable(self, problems: Sequence[Problem]) -> list[str | None]:
        return [None if p.answer.isdigit() else "too long" if len(p.answer) > 20 else "prose" for p in problems]


def test_what_is_left_out_is_counted_by_reason_with_an_example():
    problems = prompts("1", "see solution", "N/A", "x" * 100)
    kept, left_out = readable(problems, Picky())
    assert kept == problems[:1]
    assert in_words(left_out) == (
        '2 with an answer that cannot be compared with: prose (for example "see solution", 1), '
        f'1 with an answer that cannot be compared with: too long (for example "{"x" * 60}...", 3)'
    )


def test_conversations_are_used_as_they_stand_and_counted(
    policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.tokenizer.chat_template = CHATML
    system = {"role": "system", "content": "Brief."}
    turns = [{"role": "user", "content": content} for content in ("1 + 1 =", "2 + 2 =", "9")]
    rows = [[system, turns[0]], [system, turns[1]], [turns[2]]]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": row, "answer": str(i)}) + "\n" for i, row in enumerate(rows)))
    source = Local(path=str(file), columns={"problem": "prompt", "answer": "answer"}, suffix=" !")
    asked = PromptFormat(chat_template=True, system="Mine.")
    data = load_prompts(source, policy, RECIPE, prompt_format=asked, splits=("train",))
    first, _, last = (policy.tokenizer.decode(list(prompt.token_ids)) for prompt in data.train)
    assert "system\nBrief.<|im_end|>\n<|im_start|>user\n1 + 1 =<|im_end|>" in first
    assert "system\nMine.<|im_end|>\n<|im_start|>user\n9 !<|im_end|>" in last
    said = capsys.readouterr()
    assert "train: 3 problems; 2 conversations, used as they stand, without data.suffix" in said.out + said.err


def of(*lengths: int) -> list[Prompt]:
    return [Prompt(problem=Problem(id=str(n), text="", answer=""), token_ids=(1,) * n) for n in lengths]


def test_the_longest_is_a_prompt_with_its_completion_of_training_or_of_an_evaluation():
    evaluation = replace(RECIPE.evaluation, sampling=replace(RECIPE.evaluation.sampling, max_new_tokens=50))
    recipe = replace(RECIPE, sampling=replace(RECIPE.sampling, max_new_tokens=10), evaluation=evaluation)
    source = Countdown()
    assert longest(source, PromptData(of(3, 9), [], []), recipe) == 19
    assert longest(source, PromptData(of(3, 90), of(4), []), recipe) == 100
    assert longest(source, PromptData(of(3, 9), of(4), of(7, 2)), recipe) == 57
    assert longest(source, PromptData([], [], of(2)), recipe) == 52
    bounded = Countdown(max_prompt_tokens=30)
    assert longest(bounded, PromptData(of(3, 9), [], []), recipe) == 40
    assert longest(bounded, PromptData(of(3, 9), [], of(7)), recipe) == 80


EXPECTING = "rollout._target_=tests.composition.expecting_engine.ExpectingEngine"


def expected(run: Path) -> list[int]:
    words = (run / "terminal.txt").read_text(encoding="utf-8").splitlines()
    return [int(line.split()[1]) for line in words if line.startswith("expects ")]


def test_vllm_is_told_how_long_the_prompts_and_completions_of_a_run_are(run_py: RunPy, tmp_path: Path):
    run = tmp_path / "run"
    given = ("iterations=1", "eval.sampling.max_new_tokens=90", "data.max_prompt_tokens=60")
    run_py(run, "rollout=vllm", EXPECTING, *given)
    assert expected(run) == [150]
    run_py(run, f"ckpt={run}", "iterations=2", "data.max_prompt_tokens=60")
    assert expected(run) == [150]
    evaluated = tmp_path / "evaluated"
    jobs = ("task=evaluate", "eval.temperature=[.6,1]", "data.max_prompt_tokens=null")
    run_py(evaluated, "rollout=vllm", EXPECTING, *jobs, "eval.sampling.max_new_tokens=80")
    first, again = expected(evaluated)
    assert first == again < 80 + 60
