"""Does rollout=vllm work on this GPU, together with the trainer? One table, a row per check, in 8 minutes at most.

    make gpu-smoke
    python -m benchmarks.gpu_smoke [--max-gap NATS] [--minutes 7]
    python -m benchmarks.gpu_smoke --device cpu --size tiny      # all that needs no GPU, with vLLM's CPU build

The policy has the size of Qwen3-0.6B and random weights: nothing is downloaded. The trainer keeps float32 weights and
computes in bfloat16, the engine is in bfloat16; on a CPU both are float32 unless --dtype says otherwise. What would
start after --minutes is not started. The exit status is 1 when a check failed or was skipped, and
2 where there is nothing to check.
"""
