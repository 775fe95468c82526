"""What `on_ranks` runs on each of several processes. Each body holds the sharded policy against the same one whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM

from rsgrpo.batching.balance import rows_of_ranks
from rsgrpo.batching.packing import TrainingSequence, empty_row, pack
from rsgrpo.corrections.mask import SequenceMask, TokenMask
from rsgrpo.corrections.truncate import SequenceTruncate, TokenTruncate
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import Sharding, full_tensor, full_tensors
from rsgrpo.errors import UserError
from rsgrpo.losses.aggregation import Aggregation, token_weight
from rsgrpo.losses.cispo import CISPOLoss
from rsgrpo.losses.clip import ClipLoss
from rsgrpo.losses.gspo import GSPOLoss
from rsgrpo.losses.reinforce import ReinforceLoss
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.shaping.base import Shaped, Shaping, UpdateTokens
from rsgrpo.shaping.clip_cov import ClipCov
from rsgrpo.shaping.entropy_advantage import EntropyAdvantage
from rsgrpo.shaping.kl_cov import KLCov
from rsgrpo.shaping.over_ranks import OverRanks
from rsgrpo.shaping.rl_zvp import RLZVP
from rsgrpo.terms.entropy import EntropyBonus, EntropyTarget
from rsgrpo.terms.kl import KL
from rsgrpo.training.export import save_policy
from rsgrpo.training.reference import Reference, reference_of
from rsgrpo.training.rows import rows_of_updates
from rsgrpo.training.shaping import shaped_rows, shaped_updates, tokens_of
from rsgrpo.training.total_loss import TotalLoss
from rsgrpo.types import PackedRow, Problem, Prompt, Sampling
from tests.distributed import dealt
from tests.training.shaped_rows import by_token, seen, standings

CPU = torch.device("cpu")


def sharded(folder: Path, lora: LoRA | None = None, **settings: object) -> Policy:
    """The policy of `folder`, built on the meta device and sharded over all ranks."""
    policy = Policy.from_pretrained(folder, on_meta=True)
    if lora is not None:
        policy.add_adapters(lora, seed=5)
    assert policy.is_on_meta
    mesh = init_device_mesh("cpu", (dist.get_world_size(), 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    Sharding(**settings).apply(policy, mesh)  # pyright: ignore[reportArgumentType]
    return policy


def rows_of(rank: int) -> list[PackedRow]:
    """Three rows of random tokens for rank 0, one for rank 1, and none for the others."""
    generator = torch.Generator().manual_seed(rank)
    sequences = [
        TrainingSequence(
            prompt_ids=tuple(torch.randint(0, 200, (3,), generator=generator).tolist()),
            completion_ids=tuple(torch.randint(0, 200, (5 + i,), generator=generator).tolist()),
            advantage=1.0,
            weight=1.0 - (rank + i) / 7,
            sampler_logprobs=torch.zeros(5 + i),
        )
        for i in range({0: 3, 1: 1}.get(rank, 0))
    ]
    return pack(sequences, row_tokens=1, device=CPU)


def backward(policy: Policy, rows: list[PackedRow]) -> list[torch.Tensor]:
    """The weighted loss of the rows, one backward pass each; their log-probs."""
    logprobs = []
    for row in rows:
        tokens = policy(row, 0.7)
        (row.weights * tokens.logprobs).sum().backward()
        logprobs.append(tokens.logprobs.detach())
    return logprobs


def shards_are_read_from_the_files(folder: Path) -> None:
    policy, whole = sharded(folder), Policy.from_pretrained(folder)
    parts = [parameter for parameter in policy.parameters() if isinstance(parameter, DTensor)]
    assert len(parts) == len(list(policy.parameters())) == len(list(whole.parameters()))
    held = sum(part.to_local().numel() for part in parts)
    assert held <= sum(p.numel() for p in whole.parameters()) / ranks.count() + 64 * len(parts)
    expected = dict(whole.model.named_parameters())
    for name, tensor in full_tensors(policy.model):
        assert torch.equal(tensor, expected.pop(name)), name
    assert not expected
    for (name, buffer), (_, other) in zip(policy.model.named_buffers(), whole.model.named_buffers(), strict=True):
        assert torch.equal(buffer, other), name
    assert policy.stop_token_ids == whole.stop_token_ids
    assert policy.device == CPU


def gradients_add_up_over_ranks(folder: Path) -> None:
    whole = Policy.from_pretrained(folder)
    expected = [backward(whole, rows_of(rank)) for rank in range(ranks.count())][ranks.index()]
    for checkpointing in (False, True):
        policy, rows = sharded(folder, activation_checkpointing=checkpointing), rows_of(ranks.index())
        longest = max(ranks.gather(len(rows)))
        got = backward(policy, rows + [empty_row(CPU)] * (longest - len(rows)))
        for mine, other in zip(got, expected, strict=False):
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)
        norm = full_tensor(torch.nn.utils.clip_grad_norm_(policy.parameters(), float("inf")))
        gradients = dict(whole.model.named_parameters())
        total = torch.stack([p.grad.norm() for p in gradients.values() if p.grad is not None]).norm()
        torch.testing.assert_close(norm, total, atol=0, rtol=1e-5)
        for name, parameter in policy.model.named_parameters():
            other = gradients[name].grad
            assert parameter.grad is not None
            assert other is not None
            assert parameter.grad.dtype == torch.float32
            torch.testing.assert_close(full_tensor(parameter.grad), other, atol=1e-5, rtol=1e-4)


def bfloat16_computes_over_float32_masters(folder: Path) -> None:
    whole = Policy.from_pretrained(folder)
    backward(whole, rows_of(0))
    policy = sharded(folder, compute_dtype=torch.bfloat16)
    rows = rows_of(0) if ranks.index() == 0 else [empty_row(CPU)] * 3
    with torch.no_grad():
        exact, got = whole(rows_of(0)[0], 1.0).logprobs, policy(rows_of(0)[0], 1.0).logprobs
    gap = (exact - got).abs().max()
    assert 1e-5 < gap < 5e-2, gap  # three digits, and not the float32 result
    backward(policy, rows)
    for name, parameter in policy.model.named_parameters():
        other = dict(whole.model.named_parameters())[name].grad
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert other is not None
        assert parameter.grad.dtype == torch.float32
        difference = (full_tensor(parameter.grad) - other).norm() / other.norm()
        assert difference < 5e-2, (name, difference)


def ranks_sample_different_numbers_of_steps(folder: Path) -> None:
    """Rank 0 has three prompts and rank 1 none: without `whole` the first would wait for the second for ever."""
    policy, whole = sharded(folder), Policy.from_pretrained(folder)
    prompts = [
        Prompt(problem=Problem(id=str(i), text="", answer=""), token_ids=(3 + i, 4, 5)) for i in range(ranks.count())
    ]
    mine = prompts if ranks.index() == 0 else []
    for new_tokens in (4, 7):

        def sample(of: Policy, which: list[Prompt], limit: int = new_tokens) -> list[list[tuple[int, ...]]]:
            sampling = Sampling(max_new_tokens=limit)
            groups = HFEngine(policy=of).generate(which, sampling, num_completions=3, seeds=list(range(len(which))))
            return [[c.token_ids for c in group.completions] for _, group in sorted(groups, key=lambda g: g[0])]

        assert sample(policy, mine) == sample(whole, mine)
        assert all(isinstance(p, DTensor) for p in policy.parameters())  # sharded again
        backward(policy, [empty_row(CPU)])
        assert policy.training


def the_export_is_a_hugging_face_folder(folder: Path) -> None:
    policy = sharded(folder)
    for name, file_bytes in (("one", 2**30), ("several", 40_000)):
        save_policy(policy, folder.parent / name, file_bytes=file_bytes)
        loaded = AutoModelForCausalLM.from_pretrained(folder.parent / name)
        original = AutoModelForCausalLM.from_pretrained(folder)
        assert loaded.config.to_dict() | {"_name_or_path": ""} == original.config.to_dict() | {"_name_or_path": ""}
        for key, tensor in original.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[key]), key
    assert (folder.parent / "one" / "model.safetensors").exists()
    assert len(list((folder.parent / "several").glob("model-*-of-*.safetensors"))) > 2


def adapters_are_sharded_and_merged(folder: Path) -> None:
    """What a step and a sync do with adapters, against the same on a policy that is whole."""
    lora = LoRA(rank=3, alpha=6)  # a rank that two do not halve
    policy, whole = sharded(folder, lora), Policy.from_pretrained(folder)
    whole.add_adapters(lora, seed=5)
    expected = dict(whole.model.named_parameters())
    base = {name: parameter.detach().clone() for name, parameter in expected.items() if not parameter.requires_grad}
    assert len(expected) > len(base)
    for name, parameter in policy.model.named_parameters():
        assert isinstance(parameter, DTensor)
        assert parameter.requires_grad == expected[name].requires_grad
        assert torch.equal(full_tensor(parameter.detach()), expected[name]), name
    for _ in range(3):
        policy.zero_grad()
        whole.zero_grad()
        for rank in range(ranks.count()):
            backward(whole, rows_of(rank))
        rows = rows_of(ranks.index())
        backward(policy, rows + [empty_row(CPU)] * (max(ranks.gather(len(rows))) - len(rows)))
        for name, parameter in policy.model.named_parameters():
            other = expected[name].grad
            assert (parameter.grad is None) == (other is None) == (name in base), name
            if parameter.grad is None or other is None:
                continue
            torch.testing.assert_close(full_tensor(parameter.grad), other, atol=1e-5, rtol=1e-4, msg=name)
            with torch.no_grad():
                parameter.sub_(0.01 * parameter.grad)
                expected[name].sub_(0.01 * other)
    plain = Policy.from_pretrained(folder)
    changed = 0
    streams = zip(full_tensors(policy.model), full_tensors(whole.model), plain.model.named_parameters(), strict=True)
    for (name, tensor), (name_of_whole, merged), (plain_name, before) in streams:
        assert name == name_of_whole == plain_name
        torch.testing.assert_close(tensor, merged, atol=1e-5, rtol=0, msg=name)
        changed += int((tensor - before).abs().max() > 1e-4)
    assert changed == (len(expected) - len(base)) / 2, "each weight with an adapter, by far more than they may differ"
    for name, parameter in policy.model.named_parameters():
        if name in base:
            assert torch.equal(full_tensor(parameter.detach()), base[name]), name
    save_policy(policy, folder.parent / "merged")
    loaded, row = Policy.from_pretrained(folder.parent / "merged"), rows_of(0)[0]
    with torch.no_grad():
        torch.testing.assert_close(loaded(row, 1.0).logprobs, policy(row, 1.0).logprobs, atol=1e-5, rtol=1e-5)


def few_whole_tensors_at_a_time(folder: Path) -> None:
    policy = sharded(folder)
    with torch.profiler.profile(profile_memory=True) as profile:
        sizes = []
        for _, tensor in full_tensors(policy.model):
            sizes.append(tensor.nbytes)
            del tensor
    events = profile.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    held = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
        peak = max(peak, held)
    # The tensor, what was gathered with the padding of an odd vocabulary, this rank's part of it, and what the last
    # gathers have not let go yet, which is a matter of time: some five of the largest.
    assert max(sizes) <= peak < sum(sizes) / 3, (max(sizes), peak, sum(sizes))


def every_loss_adds_up_over_ranks(folder: Path) -> None:
    """Each surrogate with each aggregation it takes, each term and each correction: the ranks' rows are one batch.

    The policy has moved away from the reference, which is sharded on its own.
    """
    policy, whole = sharded(folder), Policy.from_pretrained(folder)
    references = []
    for trained, on_meta in ((policy, True), (whole, False)):
        reference = reference_of(Policy.from_pretrained(folder, on_meta=on_meta))
        reference.lay_out(trained, over_ranks if on_meta else nothing)
        references.append(reference)
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.mul_(1.05)
    for name, loss in total_losses().items():
        weight = token_weight([5, 6, 7, 5], loss.surrogate.aggregation, max_new_tokens=9, sequences=6)
        batches = [weighed(rows_of(rank), weight) for rank in range(ranks.count())]
        mine = batches[ranks.index()]
        mine = mine + [empty_row(CPU)] * (max(ranks.gather(len(mine))) - len(mine))
        policy.zero_grad()
        whole.zero_grad()
        losses = [
            sum(one_backward(trained, reference, loss, row) for row in rows)
            for trained, reference, rows in (
                (policy, references[0], mine),
                (whole, references[1], [row for rows in batches for row in rows]),
            )
        ]
        assert abs(sum(ranks.gather(losses[0])) - losses[1]) < 1e-5, name
        gradients = dict(whole.model.named_parameters())
        for parameter_name, parameter in policy.model.named_parameters():
            other = gradients[parameter_name].grad
            assert parameter.grad is not None
            assert other is not None
            assert other.isfinite().all()
            torch.testing.assert_close(
                full_tensor(parameter.grad), other, atol=1e-6, rtol=1e-4, msg=f"{name}: {parameter_name}"
            )


def total_losses() -> dict[str, TotalLoss]:
    """What an update may minimise, by what it is made of."""
    surrogates = {"clip": ClipLoss, "reinforce": ReinforceLoss, "cispo": CISPOLoss}
    losses = {
        f"{name} {aggregation}": TotalLoss(cls(aggregation=aggregation))
        for name, cls in surrogates.items()
        for aggregation in get_args(Aggregation)
    }
    losses["gspo"] = TotalLoss(GSPOLoss(clip_low=0.9, clip_high=9.0))
    terms = {
        "k2": KL(estimator="k2", place="loss", coefficient=0.3),
        "k3": KL(estimator="k3", place="loss", coefficient=0.3),
        "bonus": EntropyBonus(coefficient=0.2),
        "target": EntropyTarget(target=0.5, coefficient=0.05),
    }
    losses |= {f"clip + {name}": TotalLoss(ClipLoss(), {name: term}) for name, term in terms.items()}
    corrections = (TokenTruncate(), SequenceTruncate(), TokenMask(low=0.0, high=9.0), SequenceMask(low=0.0, high=9.0))
    return losses | {type(c).__name__: TotalLoss(ClipLoss(), {}, c) for c in corrections}


def weighed(rows: list[PackedRow], weight: Callable[[int], float]) -> list[PackedRow]:
    """Rows of one sequence each, with the weights of an aggregation and a sampler of log-probs near the policy's."""
    return [
        replace(
            row,
            weights=torch.full_like(row.weights, weight(row.num_loss_tokens)),
            sampler_logprobs=torch.full_like(row.weights, -5.3),
        )
        for row in rows
    ]


def one_backward(policy: Policy, reference: Reference, loss: TotalLoss, row: PackedRow) -> float:
    """The loss of a row, whose old log-probs are a little lower than the policy's own; its gradient is added."""
    row = replace(row, reference_logprobs=reference.logprobs(row, 0.7))
    tokens = policy(row, 0.7, entropy_gradient=loss.entropy_gradient)
    output = loss(tokens, tokens.logprobs.detach() - 0.1, row)
    total = (row.weights * output.per_token).sum()
    total.backward()
    return total.item()


def over_ranks(policy: Policy) -> None:
    """Shard a policy over all ranks."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(), 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    Sharding().apply(policy, mesh)


def nothing(policy: Policy) -> None:
    """Leave a policy as it is."""


def sequences_are_dealt_by_length(folder: Path) -> None:
    """What all ranks train is what one process would, in the rows that any of them can tell from the lengths."""
    nothing_for_others = [place for place in range(dealt.PLACES) if dealt.rank_of(place, ranks.count())]
    groups = {p: g for p, g in dealt.all_groups().items() if dealt.rank_of(p, ranks.count()) == ranks.index()}
    for dropped in (dealt.DROPPED, nothing_for_others, range(1, dealt.PLACES), range(dealt.PLACES)):
        for row_tokens in (1, 60, 1000):
            recipe = dealt.recipe_of(row_tokens)
            mine = rows_of_updates(groups, dealt.selection(dropped), recipe, CPU)
            everyones = list(zip(*ranks.gather(mine), strict=True))
            for of_ranks, sequences in zip(everyones, dealt.sequences_of_updates(recipe, dropped), strict=True):
                one = pack(sequences, row_tokens=row_tokens, device=CPU)
                assert dealt.sequences_in([row for rows in of_ranks for row in rows]) == dealt.sequences_in(one)
                lengths = [len(s.prompt_ids) + len(s.completion_ids) for s in sequences]
                expected = rows_of_ranks(lengths, ranks=ranks.count(), row_tokens=row_tokens)
                assert [[row.lengths for row in rows] for rows in of_ranks] == [
                    [tuple(lengths[i] for i in row) or (1,) for row in rows] for rows in expected
                ]


def shaping_is_that_of_one_rank(folder: Path) -> None:
    """Each token has the same advantage, mark and diagnostics on the ranks that train it as in one process."""
    groups = {p: g for p, g in dealt.all_groups().items() if dealt.rank_of(p, ranks.count()) == ranks.index()}
    selection = dealt.selection(())
    outcomes = standings(selection.outcomes)
    for shaping in (EntropyAdvantage(), ClipCov(share=0.1, low=-0.1), KLCov(share=0.1), RLZVP()):
        for row_tokens in (1, 60, 1000):
            recipe = replace(dealt.recipe_of(row_tokens), shaping=shaping)
            mine = [seen(rows) for rows in rows_of_updates(groups, selection, recipe, CPU)]
            shaped = shaped_updates(mine, outcomes, recipe, iteration=7)
            everyones = list(zip(*ranks.gather([by_token(rows) for rows in shaped]), strict=True))
            for number, (of_ranks, sequences) in enumerate(
                zip(everyones, dealt.sequences_of_updates(recipe, ()), strict=True)
            ):
                one = seen(pack(sequences, row_tokens=1000, device=CPU))
                tokens = tokens_of(one, outcomes, (recipe.seed, "shaping", 7, number))
                alone = replace(tokens, over_ranks=OverRanks(gather=lambda value: [value]))
                together = {token: said for of_rank in of_ranks for token, said in of_rank.items()}
                assert together == by_token(shaped_rows(shaping, one, alone))
                assert sum(map(len, of_ranks)) == len(together)
                assert ranks.count() == 1 or all(of_ranks), "every rank has some of the tokens"


def a_shaping_that_fails_on_one_rank_fails_on_all(folder: Path) -> None:
    """The others do not wait for it, whether they ask for a statistic or have asked for their last."""
    row = seen([empty_row(CPU)])
    for asks in (True, False):
        recipe = replace(dealt.recipe_of(60), shaping=FailsOnOne(asks=asks))
        with pytest.raises(UserError, match="the second rank") as refused:
            shaped_updates([row], [], recipe, iteration=0)
        if not isinstance(refused.value, ranks.OtherRankFailed):
            ranks.fail(refused.value)


@dataclass(frozen=True, kw_only=True)
class FailsOnOne(Shaping):
    asks: bool

    def __call__(self, tokens: UpdateTokens) -> Shaped:
        if ranks.index() == 1:
            raise UserError("the second rank")
        if self.asks:
            tokens.over_ranks.mean(tokens.logprobs)
        return Shaped(advantages=tokens.advantages)
