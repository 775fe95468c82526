import pytest

from rsgrpo.data.countdown import Countdown
from rsgrpo.data.jsonl import JsonLines
from rsgrpo.data.source import DataSource, tokenize
from rsgrpo.models.tiny import build_tokenizer
from rsgrpo.types import Problem, UserError

TOKENIZER = build_tokenizer()


def problem(numbers: int, origin: str = "") -> Problem:
    """A problem whose prompt has exactly `numbers` tokens."""
    return Problem(id=f"p/{numbers}", text=" ".join(["7"] * numbers), answer="7", origin=origin)


def test_prompts_hold_the_tokens_of_their_problems_in_order():
    problems = [problem(n) for n in (5, 1, 30)]
    prompts, dropped = tokenize(problems, TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=2048)
    assert dropped == 0
    assert [p.problem for p in prompts] == problems
    assert [p.id for p in prompts] == ["p/5", "p/1", "p/30"]
    assert [len(p.token_ids) for p in prompts] == [5, 1, 30]
    assert [TOKENIZER.decode(list(p.token_ids)) for p in prompts] == [p.text for p in problems]


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, [3, 9, 4, 10]), (10, [3, 9, 4, 10]), (9, [3, 9, 4]), (3, [3]), (2, [])]
)
def test_longer_prompts_are_dropped_and_counted(limit: int | None, kept: list[int]):
    problems = [problem(n) for n in (3, 9, 4, 10)]
    prompts, dropped = tokenize(problems, TOKENIZER, max_prompt_tokens=limit, max_new_tokens=8, context=2048)
    assert [len(p.token_ids) for p in prompts] == kept
    assert dropped == 4 - len(kept)


def test_no_problems_are_no_prompts():
    assert tokenize([], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=2048) == ([], 0)


def test_a_prompt_may_fill_the_context_exactly_and_not_by_one_token_more():
    prompts, _ = tokenize([problem(12)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20)
    assert len(prompts) == 1
    with pytest.raises(UserError):
        tokenize([problem(13)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20)


def test_an_overlong_prompt_is_named_by_its_place_with_the_keys_that_cure_it():
    problems = [problem(3), problem(13, origin="data file own.jsonl line 12")]
    with pytest.raises(UserError) as caught:
        tokenize(problems, TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20)
    message = str(caught.value)
    assert "own.jsonl line 12" in message
    assert "13 tokens" in message
    assert "sampling.max_new_tokens=8" in message
    assert message.endswith("data.max_prompt_tokens=12")
    prompts, dropped = tokenize(problems, TOKENIZER, max_prompt_tokens=12, max_new_tokens=8, context=20)
    assert (len(prompts), dropped) == (1, 1)  # the advice works


def test_an_overlong_prompt_without_an_origin_is_named_by_its_id():
    with pytest.raises(UserError, match="p/13"):
        tokenize([problem(13)], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20)


def test_a_prompt_without_tokens_is_refused():
    empty = Problem(id="p/0", text="", answer="7", origin="data file own.jsonl line 3")
    with pytest.raises(UserError, match=r"own\.jsonl line 3: the prompt has no tokens; give it a text"):
        tokenize([empty], TOKENIZER, max_prompt_tokens=None, max_new_tokens=8, context=20)


def test_the_built_in_sources_are_data_sources():
    assert isinstance(Countdown(), DataSource)
    assert isinstance(JsonLines(path="own.jsonl"), DataSource)
