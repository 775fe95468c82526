"""Supervised pretraining of the tiny policy on a task's demonstrations; `bases.py` keeps what comes of it."""

import hashlib
import inspect
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import rsgrpo.data.generated
import rsgrpo.models.tiny
from rsgrpo.batching.packing import TrainingSequence, pack
from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields, check_numbers
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import EOS, build_model, build_tokenizer
from rsgrpo.pretraining.corpus import Corpus

Progress = Callable[[int, int, float], None]
"""Called after every step with (steps done, steps in all, loss)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """The recipe of the base model: AdamW, linear warm-up, cosine decay to 5 % of the peak, loss on the completion.

    Raises:
        FieldError: for a value outside its range.
    """

    demonstrations: Corpus
    """What the model learns to continue."""
    seed: int = 0
    """Picks the base model: initial weights, corpus and order. The RL seed is another."""
    steps: int = 1200
    batch_size: int = 128
    lr: float = 3e-3
    betas: Sequence[float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warmup_steps: int = 50
    row_tokens: int = 4096
    hidden_size: int = 64
    num_layers: int = 3

    def __post_init__(self) -> None:
        positive = {name: (1, math.inf) for name in ("steps", "row_tokens")}
        positive |= {"batch_size": (1, 2**16), "num_layers": (1, 256), "hidden_size": (1, 2**14)}
        check_numbers("betas", self.betas, 2, "[0, 1)", example=[0.9, 0.98])
        check_fields(self, **positive, lr=(0, math.inf), weight_decay=(0, math.inf), warmup_steps=(0, math.inf))
        if self.hidden_size < 32 or self.hidden_size % 32:
            raise FieldError("hidden_size", self.hidden_size, "must be a multiple of 32", "try hidden_size=64")

    def fingerprint(self) -> str:
        """Hash of the recipe and of the code that makes the base model out of it."""
        corpus = type(self.demonstrations)
        sources = [inspect.getfile(corpus), rsgrpo.data.generated.__file__, rsgrpo.models.tiny.__file__, __file__]
        code = b"".join(Path(source).read_bytes() for source in sources)
        return hashlib.sha256(f"{corpus.__qualname__} {self.settings()}".encode() + code).hexdigest()[:16]

    def settings(self) -> str:
        """The recipe as JSON."""
        return json.dumps(asdict(self), indent=1, default=list)


def pretrain(recipe: Pretraining, progress: Progress) -> Policy:
    """Train a base model from scratch on freshly drawn demonstrations.

    Raises:
        UserError: for a demonstration that does not fit into the `max_tokens` of its corpus.
    """
    tokenizer = build_tokenizer()
    shape = {"hidden_size": recipe.hidden_size, "num_layers": recipe.num_layers}
    policy = Policy(build_model(tokenizer, **shape, seed=recipe.seed), tokenizer)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=recipe.lr, betas=(recipe.betas[0], recipe.betas[1]), weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, recipe))
    rng = random.Random(recipe.seed)
    for step in range(recipe.steps):
        loss = 0.0
        for row in pack(_draw_batch(recipe, policy, rng), row_tokens=recipe.row_tokens, device=policy.device):
            row_loss = -(row.weights * policy(row, 1.0).logprobs).sum()
            row_loss.backward()
            loss += row_loss.item()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        progress(step + 1, recipe.steps, loss)
    return policy


def learning_rate_factor(step: int, recipe: Pretraining) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then cosine from 1 to 0.05."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def _draw_batch(recipe: Pretraining, policy: Policy, rng: random.Random) -> list[TrainingSequence]:
    """Demonstrations of one step, weighted for the mean over all completion tokens."""
    tokenizer, corpus = policy.tokenizer, recipe.demonstrations
    problems = rng.choices(corpus.problems(), k=recipe.batch_size)
    prompts = tokenizer([problem.text for problem in problems]).input_ids
    completions = tokenizer([corpus.draw(problem, rng) + EOS for problem in problems]).input_ids
    longest = max(map(len, completions))
    if longest > corpus.max_tokens:
        raise UserError(
            f"max_tokens={corpus.max_tokens} is less than a demonstration of {longest} tokens needs; "
            f"try max_tokens={longest}",
            max_tokens="demonstrations",
        )
    total = sum(map(len, completions))
    return [
        TrainingSequence(
            prompt_ids=tuple(prompt),
            completion_ids=tuple(completion),
            advantage=0.0,
            weight=1 / total,
            sampler_logprobs=torch.zeros(len(completion)),
        )
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
