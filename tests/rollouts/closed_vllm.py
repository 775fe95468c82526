"""What a closed vLLM leaves of its memory in a fresh process: `python -m tests.rollouts.closed_vllm`."""

import gc

import torch

from rsgrpo.distributed.sharding import full_tensors
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from rsgrpo.rollouts.vllm import VLLMEngine
from rsgrpo.types import Problem, Prompt, Sampling


def bytes_of_tensors() -> int:
    """Of all tensors that Python knows, each storage once."""
    storages = (x.untyped_storage() for x in gc.get_objects() if isinstance(x, torch.Tensor))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def main() -> None:
    tokenizer = build_tokenizer()
    policy = Policy(build_model(tokenizer, hidden_size=256, num_layers=2, seed=0), tokenizer)
    before = bytes_of_tensors()
    engine = VLLMEngine(policy=policy, kv_cache_gib=0.125)
    prompt = Prompt(problem=Problem(id="0", text="7", answer="7"), token_ids=(7,))
    for version in range(2):
        engine.load_policy(full_tensors(policy.model), version=version)
        list(engine.generate([prompt], Sampling(max_new_tokens=4), num_completions=2, seeds=[version]))
    engine.close()
    left = [type(x).__name__ for x in gc.get_objects() if type(x).__name__ in ("LLM", "EngineCore", "LLMEngine")]
    print(before, bytes_of_tensors(), *left)


if __name__ == "__main__":
    main()
