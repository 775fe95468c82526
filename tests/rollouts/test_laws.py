"""What every rollout engine must do, whatever it runs on. A further engine is one more entry of `ENGINES`."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import RolloutEngine
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.types import Completion, Group, PackedRow, Problem, Prompt, Sampling
from tests.adapters import add_random_adapters
from tests.rollouts.one_vllm import vllm_engine

MakeEngine = Callable[..., RolloutEngine]


def hf(policy: Policy, side_by_side: int = 512) -> RolloutEngine:
    return HFEngine(policy=policy, max_rows=side_by_side)


def vllm(policy: Policy, side_by_side: int = 512) -> RolloutEngine:
    return vllm_engine(policy, side_by_side)


ENGINES = {"hf": hf, "vllm": vllm}
"""By name: (policy, completions sampled side by side) -> engine."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> MakeEngine:
    return ENGINES[request.param]


@pytest.fixture
def talker(policy: Policy) -> Policy:
    """A policy that is sure of some tokens and ends after a dozen, so that completions differ in length."""
    with torch.no_grad():
        cast(nn.Embedding, policy.model.get_input_embeddings()).weight.mul_(5)
    policy.model.generation_config.eos_token_id = list(range(1, len(policy.tokenizer), 17))
    return policy


ROUNDING = 0.1 if torch.cuda.is_available() else 1e-4
"""Nats. On a GPU vLLM's attention multiplies in TF32, and a policy this sure of its tokens magnifies it."""

TEXTS = (
    "6 12 9 => 27 :",
    "7",
    "1 2 3 => 6 :",
    " ".join(["11"] * 90),
    "12 12 12 => 36 :",
    "5 + 5",
    " ".join(["3 4"] * 20),
)
"""Prompts of 1 to 90 tokens."""


def prompts_for(policy: Policy, texts: Sequence[str] = TEXTS) -> list[Prompt]:
    return [
        Prompt(problem=Problem(id=f"p/{i}", text=text, answer="0"), token_ids=tuple(policy.tokenizer(text).input_ids))
        for i, text in enumerate(texts)
    ]


def drawn(
    engine: RolloutEngine, prompts: Sequence[Prompt], sampling: Sampling, n: int = 4, seeds: Sequence[int] | None = None
) -> list[Group]:
    """The groups in the order of the prompts, each of which must come exactly once."""
    seeds = range(100, 100 + len(prompts)) if seeds is None else seeds
    found = list(engine.generate(prompts, sampling, num_completions=n, seeds=list(seeds)))
    assert sorted(index for index, _ in found) == list(range(len(prompts)))
    return [group for _, group in sorted(found, key=lambda pair: pair[0])]


def tokens(group: Group) -> list[tuple[int, ...]]:
    return [completion.token_ids for completion in group.completions]


def completions_of(groups: Sequence[Group]) -> list[tuple[Prompt, Completion]]:
    return [(group.prompt, completion) for group in groups for completion in group.completions]


def assert_same_draws(pairs: Iterable[tuple[Completion, Completion]]) -> None:
    """Equal tokens, and equal log-probs up to rounding, which depends on what else is in the batch.

    A draw within some 1e-6 of the boundary between two tokens may fall on either side: one completion may differ.
    """
    every = list(pairs)
    same = [(one, two) for one, two in every if one.token_ids == two.token_ids]
    assert len(same) >= max(1, len(every) - 1)
    for one, two in same:
        torch.testing.assert_close(one.logprobs, two.logprobs, atol=ROUNDING, rtol=0)


def paired(one: Sequence[Group], two: Sequence[Group]) -> Iterator[tuple[Completion, Completion]]:
    """The completions of one beside those of the other, of each group as many as both have."""
    for mine, other in zip(one, two, strict=True):
        yield from zip(mine.completions, other.completions, strict=False)


def trainer_logprobs(policy: Policy, prompt: Prompt, completion: Completion, temperature: float) -> Tensor:
    """Log-probs of the completion by the policy's own training entry, the sequence in a row of its own."""
    ids = [*prompt.token_ids, *completion.token_ids]
    num = len(completion.token_ids)
    row = PackedRow(
        token_ids=torch.tensor(ids),
        position_ids=torch.arange(len(ids)),
        lengths=(len(ids),),
        target_index=torch.arange(len(ids) - num - 1, len(ids) - 1),
        target_ids=torch.tensor(completion.token_ids),
        sequence_of_target=torch.zeros(num, dtype=torch.long),
        advantages=torch.zeros(num),
        weights=torch.zeros(num),
        sampler_logprobs=torch.zeros(num),
    )
    with torch.no_grad():
        return policy(row, temperature).logprobs


def distributions(policy: Policy, prompt: Prompt, completion: Completion, temperature: float) -> Tensor:
    """Probabilities [T, V] before each token of the completion, by an ordinary transformers model, in float64."""
    model = AutoModelForCausalLM.from_config(policy.model.config, attn_implementation="eager")
    model.load_state_dict(policy.model.state_dict())
    ids = [*prompt.token_ids, *completion.token_ids]
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids])).logits[0, len(prompt.token_ids) - 1 : -1]
    return (logits.double() / temperature).softmax(-1)


@pytest.mark.parametrize("side_by_side", [512, 8, 1])
def test_every_prompt_gets_its_completions_once(engine: MakeEngine, talker: Policy, side_by_side: int):
    prompts = prompts_for(talker)
    groups = drawn(engine(talker, side_by_side), prompts, Sampling(max_new_tokens=20), n=5)
    for prompt, group in zip(prompts, groups, strict=True):
        assert group.prompt == prompt
        assert len(group.completions) == 5
        assert len(set(tokens(group))) == 5, "the completions of a group are drawn independently"


def test_no_prompts_are_no_groups(engine: MakeEngine, talker: Policy):
    assert drawn(engine(talker), [], Sampling(max_new_tokens=5)) == []


def test_a_prompt_given_twice_is_completed_twice(engine: MakeEngine, talker: Policy):
    prompts = prompts_for(talker)[:1] * 3
    first, second, third = drawn(engine(talker), prompts, Sampling(max_new_tokens=20), seeds=[1, 2, 1])
    assert_same_draws(paired([first], [third]))
    assert not set(tokens(first)) & set(tokens(second))


def test_a_stop_token_ends_a_completion_and_is_its_last_token(engine: MakeEngine, talker: Policy):
    limit = 12
    stops = set(talker.stop_token_ids)
    assert len(stops) > 10
    outcomes = set()
    for _, completion in completions_of(
        drawn(engine(talker), prompts_for(talker), Sampling(max_new_tokens=limit), n=12)
    ):
        ids = completion.token_ids
        assert 1 <= len(ids) <= limit
        assert completion.logprobs.shape == (len(ids),)
        assert completion.logprobs.dtype == torch.float32
        assert not stops.intersection(ids[:-1])
        assert completion.finished == (ids[-1] in stops)
        assert completion.finished or len(ids) == limit
        text_ids = ids[:-1] if completion.finished else ids
        assert completion.text == talker.tokenizer.decode(list(text_ids))
        outcomes.add((completion.finished, len(ids) == limit))
    assert {(True, False), (False, True)} <= outcomes, "some ended, some ran into the limit"


@pytest.mark.parametrize("limit", [1, 2, 65, 130])
def test_no_completion_is_longer_than_allowed(engine: MakeEngine, policy: Policy, limit: int):
    groups = drawn(engine(policy), prompts_for(policy)[:3], Sampling(max_new_tokens=limit), n=3)
    lengths = [len(completion.token_ids) for _, completion in completions_of(groups)]
    assert max(lengths) == limit
    if limit == 1:
        assert set(lengths) == {1}


def test_a_completion_of_one_stop_token_has_no_text(engine: MakeEngine, talker: Policy):
    talker.model.generation_config.eos_token_id = list(range(len(talker.tokenizer)))
    for _, completion in completions_of(drawn(engine(talker), prompts_for(talker), Sampling(max_new_tokens=9))):
        assert (len(completion.token_ids), completion.finished, completion.text) == (1, True, "")


def test_the_same_seeds_draw_the_same_and_other_seeds_something_else(engine: MakeEngine, talker: Policy):
    prompts, sampling = prompts_for(talker), Sampling(max_new_tokens=20)
    first = drawn(engine(talker), prompts, sampling, seeds=range(7))
    torch.manual_seed(123)
    again = drawn(engine(talker), prompts, sampling, seeds=range(7))
    other = drawn(engine(talker), prompts, sampling, seeds=[*range(6), 2**63 - 1])
    assert_same_draws(paired(first, again))
    assert_same_draws(paired(first[:6], other[:6]))
    assert not set(tokens(first[6])) & set(tokens(other[6]))


def test_a_longer_limit_continues_the_same_completions(engine: MakeEngine, talker: Policy):
    prompts = prompts_for(talker)
    short, long = (drawn(engine(talker), prompts, Sampling(max_new_tokens=limit)) for limit in (8, 90))
    cut = [
        (one, replace(two, token_ids=two.token_ids[:8], logprobs=two.logprobs[:8])) for one, two in paired(short, long)
    ]
    assert_same_draws(cut)
    assert max(len(c.token_ids) for _, c in completions_of(long)) > 64


def test_more_completions_continue_the_same_group(engine: MakeEngine, talker: Policy):
    prompts, sampling = prompts_for(talker), Sampling(max_new_tokens=20)
    few, many = (drawn(engine(talker), prompts, sampling, n=n) for n in (3, 8))
    assert [len(tokens(g)) for g in (*few, *many)] == [3] * len(prompts) + [8] * len(prompts)
    assert_same_draws(paired(few, many))


@pytest.mark.parametrize(
    "sampling", [Sampling(max_new_tokens=80), Sampling(max_new_tokens=30, temperature=0.7, top_p=0.9)]
)
def test_a_group_does_not_depend_on_what_else_is_sampled(engine: MakeEngine, talker: Policy, sampling: Sampling):
    prompts = prompts_for(talker)
    together = drawn(engine(talker), prompts, sampling)
    in_parts = drawn(engine(talker, 8), prompts, sampling)
    reversed_ = drawn(engine(talker), prompts[::-1], sampling, seeds=range(106, 99, -1))[::-1]
    alone = [drawn(engine(talker), [prompt], sampling, seeds=[100 + i])[0] for i, prompt in enumerate(prompts)]
    for groups in (together, in_parts, reversed_):
        assert_same_draws(paired(groups, alone))


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.5])
def test_the_log_probs_are_those_of_the_trainer(engine: MakeEngine, talker: Policy, temperature: float):
    sampling = Sampling(max_new_tokens=100, temperature=temperature)
    pairs = completions_of(drawn(engine(talker), prompts_for(talker), sampling, n=6))
    lengths = [len(completion.token_ids) for _, completion in pairs]
    assert sum(length < 30 for length in lengths) > 0.05 * len(lengths), "rows ended, and left the batch,"
    assert max(lengths) > 60, "long before the last"
    for prompt, completion in pairs:
        expected = trainer_logprobs(talker, prompt, completion, temperature)
        torch.testing.assert_close(completion.logprobs, expected, atol=ROUNDING, rtol=0)


def test_completions_carry_the_version_of_the_policy(engine: MakeEngine, talker: Policy):
    sampler, prompts, sampling = engine(talker), prompts_for(talker)[:2], Sampling(max_new_tokens=3)
    for version in (1, 2, 7):
        sampler.load_policy(talker.model.state_dict().items(), version=version)
        pairs = completions_of(drawn(sampler, prompts, sampling))
        assert {completion.policy_version for _, completion in pairs} == {version}


def test_after_an_update_the_new_policy_is_sampled(engine: MakeEngine, talker: Policy):
    sampler, prompts, sampling = engine(talker), prompts_for(talker)[:2], Sampling(max_new_tokens=10)
    before = drawn(sampler, prompts, sampling)
    with torch.no_grad():
        for parameter in talker.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    sampler.load_policy(talker.model.state_dict().items(), version=1)
    after = drawn(sampler, prompts, sampling)
    assert [tokens(g) for g in before] != [tokens(g) for g in after]
    for prompt, completion in completions_of(after):
        expected = trainer_logprobs(talker, prompt, completion, 1.0)
        torch.testing.assert_close(completion.logprobs, expected, atol=ROUNDING, rtol=0)


def test_the_best_token_alone_is_greedy_decoding(engine: MakeEngine, talker: Policy):
    sampling = Sampling(max_new_tokens=15, top_k=1)
    for prompt, completion in completions_of(drawn(engine(talker), prompts_for(talker), sampling, n=3)):
        probabilities = distributions(talker, prompt, completion, 1.0)
        drawn_ones = probabilities.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(drawn_ones, probabilities.amax(-1), atol=1e-5, rtol=0)  # of two that tie, either
        assert torch.equal(completion.logprobs, torch.zeros(len(completion.token_ids)))


def truncated(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """The distribution [V] that min-p, then top-k, then top-p leave, written out token by token."""
    kept = probabilities.clone()
    kept[kept < sampling.min_p * kept.max()] = 0
    by_size = probabilities.argsort(descending=True).tolist()
    if sampling.top_k:
        kept[by_size[sampling.top_k :]] = 0
    if sampling.top_p < 1:
        total, mass = float(kept.sum()), 0.0
        for token in by_size:
            if mass >= sampling.top_p * total:
                kept[token] = 0
            mass += float(kept[token])
    return kept / kept.sum()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=12, top_k=5),
        Sampling(max_new_tokens=12, top_p=0.5),
        Sampling(max_new_tokens=12, top_p=0.9),
        Sampling(max_new_tokens=12, min_p=0.3),
        Sampling(max_new_tokens=12, temperature=0.6, top_p=0.8),
        Sampling(max_new_tokens=12, temperature=1.4, top_k=20, top_p=0.7, min_p=0.1),
        Sampling(max_new_tokens=12, top_p=1e-6),
        Sampling(max_new_tokens=12, min_p=1.0),
        Sampling(max_new_tokens=12, top_k=10**6),
    ],
    ids=lambda s: f"t{s.temperature}-k{s.top_k}-p{s.top_p}-m{s.min_p}",
)
def test_truncated_sampling_draws_allowed_tokens_with_their_renormalised_log_probs(
    engine: MakeEngine, talker: Policy, sampling: Sampling
):
    for prompt, completion in completions_of(drawn(engine(talker), prompts_for(talker)[:4], sampling, n=4)):
        full = distributions(talker, prompt, completion, sampling.temperature)
        for token, logprob, probabilities in zip(completion.token_ids, completion.logprobs.tolist(), full, strict=True):
            allowed = truncated(probabilities, sampling)
            assert allowed[token] > 0
            assert logprob == pytest.approx(float(allowed[token].log()), abs=ROUNDING)


def test_tokens_come_as_often_as_the_policy_says(engine: MakeEngine, talker: Policy):
    n = 4000
    prompt = prompts_for(talker)[0]
    (group,) = drawn(engine(talker, n), [prompt], Sampling(max_new_tokens=1), n=n)
    (expected,) = distributions(talker, prompt, group.completions[0], 1.0) * n
    counts = torch.bincount(torch.tensor([c.token_ids[0] for c in group.completions]), minlength=len(expected))
    # Rare tokens share one cell, as the test wants at least five expected draws in each.
    rare = expected < 5
    observed = torch.cat([counts[~rare], counts[rare].sum()[None]]).double()
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    freedom = len(expected) - 1
    assert freedom > 20
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


def numpy_state() -> tuple[int, bytes]:
    """Position and words of numpy's global generator."""
    state = cast(tuple, np.random.get_state())  # noqa: NPY002
    return state[2], state[1].tobytes()


@pytest.mark.parametrize("training", [True, False])
def test_the_policy_comes_back_in_the_mode_it_was_in(engine: MakeEngine, talker: Policy, training: bool):
    talker.train(training)
    sampler = engine(talker, 4)
    drawn(sampler, prompts_for(talker), Sampling(max_new_tokens=5))
    assert all(module.training == training for module in talker.modules())
    abandoned = iter(
        sampler.generate(prompts_for(talker), Sampling(max_new_tokens=5), num_completions=4, seeds=range(7))
    )
    next(abandoned)
    cast(Generator, abandoned).close()
    assert all(module.training == training for module in talker.modules())


def test_sampling_leaves_gradients_weights_and_global_generators_alone(engine: MakeEngine, talker: Policy):
    # Python's own generator is left out: the type checker of the tests draws from it.
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    weights = {name: parameter.clone() for name, parameter in talker.named_parameters()}
    states = torch.get_rng_state(), numpy_state()
    for _ in engine(talker).generate(
        prompts_for(talker), Sampling(max_new_tokens=9), num_completions=2, seeds=range(7)
    ):
        # The consumer may train between two groups.
        assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    for name, parameter in talker.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert parameter.grad is None
        assert parameter.requires_grad


def test_it_samples_from_a_policy_with_adapters(engine: MakeEngine, talker: Policy):
    sampler, prompts, sampling = engine(talker), prompts_for(talker)[:4], Sampling(max_new_tokens=9)
    plain = completions_of(drawn(sampler, prompts, sampling, n=2))
    add_random_adapters(talker)
    moved = [(c.logprobs - trainer_logprobs(talker, p, c, 1.0)).abs().max() for p, c in plain]
    assert max(moved) > 0.1, "the adapters say something"
    sampler.load_policy(full_tensors(talker.model), version=1)
    for prompt, completion in completions_of(drawn(sampler, prompts, sampling, n=2)):
        expected = trainer_logprobs(talker, prompt, completion, 1.0)
        torch.testing.assert_close(completion.logprobs, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("text_tokens", "says"),
    [((), "the prompt of p has no tokens"), ((5,) * 2040, "2040 tokens, with 9 new ones more than the 2048 that fit")],
    ids=["empty", "too long"],
)
def test_a_prompt_that_cannot_be_completed_is_refused(
    engine: MakeEngine, talker: Policy, text_tokens: tuple[int, ...], says: str
):
    prompt = Prompt(problem=Problem(id="p", text="", answer="0"), token_ids=text_tokens)
    with pytest.raises(UserError, match=says):
        drawn(engine(talker), [*prompts_for(talker)[:1], prompt], Sampling(max_new_tokens=9))


def test_the_longest_prompt_that_fits_is_completed(engine: MakeEngine, policy: Policy):
    prompt = Prompt(problem=Problem(id="p", text="", answer="0"), token_ids=(5,) * 2039)
    (group,) = drawn(engine(policy), [prompt], Sampling(max_new_tokens=9), n=1)
    (completion,) = group.completions
    assert len(completion.token_ids) == 9 or completion.finished
    expected = trainer_logprobs(policy, prompt, completion, 1.0)
    torch.testing.assert_close(completion.logprobs, expected, atol=ROUNDING, rtol=0)


def test_it_is_a_rollout_engine(engine: MakeEngine, talker: Policy):
    assert isinstance(engine(talker), RolloutEngine)
