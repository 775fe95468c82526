"""One training step of rsgrpo beside TRL's GRPOTrainer, on the same work, in turn, in one run.

    python -m venv trl && trl/bin/pip install torch==2.13.0 trl==1.16.0
    python benchmarks/against_trl.py --trl-python trl/bin/python

Both train the same random Qwen3 (3.2 M parameters, character tokenizer) on the CPU with one thread: 16 prompts x 16
completions of at most `--new` tokens that end by themselves (a random model draws the end token about once in 128
tokens, so lengths are geometric, as they are in practice), reward, clipped loss (token mean, no KL, no std), one AdamW
update, float32. TRL has its best micro-batch size for this machine, 32. Only the ratio counts; rounds alternate.
"""

import argparse
import json
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

ROOT = Path(__file__).parents[1]
PROMPTS, COMPLETIONS, ITERATIONS = 16, 16, 4

TRL = """
import json, sys, time, torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
model, data, new, prompts, completions, steps, micro_batch = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:8])
torch.set_num_threads(1)
rows = prompts * completions
config = GRPOConfig(
    output_dir=sys.argv[8], use_cpu=True, bf16=False, per_device_train_batch_size=micro_batch,
    gradient_accumulation_steps=rows // micro_batch, steps_per_generation=rows // micro_batch,
    num_generations=completions, max_completion_length=new, max_steps=steps, learning_rate=1e-5, beta=0.0,
    loss_type="dapo", scale_rewards="none", epsilon=0.2, epsilon_high=0.28, temperature=1.0, logging_steps=1,
    save_strategy="no", report_to=[], model_init_kwargs={"dtype": "float32"}, gradient_checkpointing=False,
)
seconds = []
class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__): self.began = time.perf_counter()
    def on_step_end(self, *_, **__): seconds.append(time.perf_counter() - self.began)
problems = [json.loads(line)["problem"] for line in open(data)]
trainer = GRPOTrainer(
    model=model, args=config, train_dataset=Dataset.from_dict({"prompt": problems}), callbacks=[Clock()],
    reward_funcs=lambda completions, **_: [float(text.count("1") % 2 == 0) for text in completions],
)
trainer.train()
lengths = [log["completions/mean_length"] for log in trainer.state.log_history if "completions/mean_length" in log]
print(json.dumps(list(zip(seconds, lengths, strict=True))))
"""


def make_work(folder: Path) -> tuple[Path, Path]:
    """The model folder and the problem file that both sides use."""
    letters = ["<pad>", "<eos>", *string.printable[:95], "\n"]
    tokenizer = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=128,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    model.save_pretrained(folder / "model")
    fast.save_pretrained(folder / "model")
    rng = random.Random(0)
    questions = [f"What is {rng.randint(100, 999)} + {rng.randint(100, 999)}? " for _ in range(PROMPTS * 8)]
    problems = "".join(json.dumps({"problem": question, "answer": "0"}) + "\n" for question in questions)
    (folder / "problems.jsonl").write_text(problems)
    return folder / "model", folder / "problems.jsonl"


def rsgrpo_steps(folder: Path, model: Path, data: Path, new: int, name: str) -> list[tuple[float, float]]:
    """(seconds, mean completion tokens) of each step of a real run."""
    run = folder / name
    command = [sys.executable, "run.py", f"hydra.run.dir={run}", f"model.path={model}", "objective=grpo"]
    command += ["data=local", f"data.path={data}", "data.suffix=''", "filter=none", "callbacks.checkpoint.every=99"]
    command += ["reward=custom", "reward._target_=tests.training.parity_reward.ParityReward"]
    command += [f"iterations={ITERATIONS}", f"sampling.max_new_tokens={new}", "optimizer.lr=1e-5"]
    command += [f"batching.prompts_per_iteration={PROMPTS}", f"batching.completions_per_prompt={COMPLETIONS}"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)})
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if "time/step_s" in record]
    return [(step["time/step_s"], step["train/completion_tokens_mean"]) for step in steps]


def trl_steps(python: str, folder: Path, model: Path, data: Path, new: int, name: str) -> list[tuple[float, float]]:
    """The same of TRL's trainer."""
    sizes = [str(size) for size in (new, PROMPTS, COMPLETIONS, ITERATIONS, 32)]
    command = [python, "-c", TRL, str(model), str(data), *sizes, str(folder / name)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return [tuple(step) for step in json.loads(printed.strip().splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trl-python", required=True, help="the Python of an environment with trl")
    parser.add_argument("--new", type=int, default=192, help="most new tokens of a completion")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = make_work(folder)
        ratios = []
        for i in range(arguments.rounds):
            ours = rsgrpo_steps(folder, model, data, arguments.new, f"ours{i}")
            theirs = trl_steps(arguments.trl_python, folder, model, data, arguments.new, f"trl{i}")
            for who, steps in (("rsgrpo", ours), ("TRL", theirs)):
                shown = ", ".join(f"{seconds:.1f} s ({tokens:.0f} tokens a completion)" for seconds, tokens in steps)
                print(f"round {i + 1}, {who}: {shown}")
            # The first step of either warms up.
            ratios.append(statistics.median(s for s, _ in theirs[1:]) / statistics.median(s for s, _ in ours[1:]))
        print(f"TRL takes {statistics.median(ratios):.2f} times as long (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
