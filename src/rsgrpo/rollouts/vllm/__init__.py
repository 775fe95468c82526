"""Sampling with vLLM in this process: continuous batching and paged attention, with new weights after every update."""

from rsgrpo.rollouts.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
