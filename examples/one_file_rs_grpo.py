"""RS-GRPO in one flat file: the algorithm, and nothing that is not the algorithm.

    python examples/one_file_rs_grpo.py MODEL [--beta 4] [--iterations 60]

MODEL is a Hugging Face folder, for example the one that `python run.py task=pretrain` prints. What `run.py` adds to
this: packing without padding, a cache-friendly sampler, mini-batches and epochs, evaluation, checkpoints, logging.

Legend: P prompts, N completions per prompt, T tokens of the longest row, V vocabulary.
"""

import argparse
import random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo.data.countdown import splits
from rsgrpo.rewards.countdown import CountdownReward

P, N, MAX_NEW_TOKENS = 32, 16, 24
LEARNING_RATE, GRAD_CLIP, CLIP_LOW, CLIP_HIGH = 2e-4, 1.0, 0.2, 0.28


def advantages(rewards: torch.Tensor, beta: float) -> torch.Tensor:
    """[P, N] -> [P, N]: (1/beta) (exp(beta r_i) / mean_j exp(beta r_j) - 1), the paper's Eq. 8; beta = 0 is GRPO."""
    if beta == 0:
        return rewards - rewards.mean(dim=1, keepdim=True)
    tilted = beta * rewards
    e = torch.expm1(tilted - tilted.amax(dim=1, keepdim=True))
    return (e - e.mean(dim=1, keepdim=True)) / (beta * (1 + e.mean(dim=1, keepdim=True)))


def token_logprobs(model, rows: torch.Tensor, mask: torch.Tensor, prompt_length: int) -> torch.Tensor:
    """[B, T] token ids -> [B, T - prompt_length] log-probs of the completion tokens."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(rows, attention_mask=mask, position_ids=positions).logits[:, prompt_length - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, rows[:, prompt_length:, None])[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--beta", type=float, default=4.0)
    parser.add_argument("--iterations", type=int, default=60)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(1)
    order = random.Random(0)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    reward = CountdownReward()
    solved: set[str] = set()

    for iteration in range(1, arguments.iterations + 1):
        # prompts
        problems = order.sample(splits()["train"], P)
        prompts = tokenizer([problem.text for problem in problems], return_tensors="pt", padding=True)
        prompt_length = prompts.input_ids.shape[1]

        # rollouts: [P * N, T]
        with torch.no_grad():
            rows = model.generate(  # pyright: ignore[reportAttributeAccessIssue]
                **prompts,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=MAX_NEW_TOKENS,
                num_return_sequences=N,
            )
        completions = rows[:, prompt_length:]
        ended_before = (completions == tokenizer.eos_token_id).cumsum(1) - (completions == tokenizer.eos_token_id).int()
        trained = (ended_before == 0).float()  # the end-of-sequence token itself is trained on
        mask = torch.cat([prompts.attention_mask.repeat_interleave(N, 0), trained.long()], dim=1)

        # rewards: [P, N]
        texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
        scores = [reward.judge(problems[i // N], text) for i, text in enumerate(texts)]
        rewards = torch.tensor([score.value for score in scores]).view(P, N)
        solved |= {problems[i // N].id for i, score in enumerate(scores) if score.correct}

        # filter: groups of equal rewards carry no gradient
        kept = rewards.amax(1) > rewards.amin(1)
        if not kept.any():
            print(f"iteration {iteration}: every group was dropped")
            continue
        chosen = kept.repeat_interleave(N)

        # advantages
        advantage = advantages(rewards[kept], arguments.beta).view(-1, 1)

        # log-probs, loss (clipped surrogate, token mean), update
        logprobs = token_logprobs(model, rows[chosen], mask[chosen], prompt_length)
        ratio = (logprobs - logprobs.detach()).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH) * advantage)
        loss = -(surrogate * trained[chosen]).sum() / trained[chosen].sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimizer.step()

        print(f"iteration {iteration}: reward {rewards.mean():.3f}, solved so far {len(solved)}")


if __name__ == "__main__":
    main()
