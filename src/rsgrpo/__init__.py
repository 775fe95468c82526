"""Which RL objective makes an LLM explore? The library; `docs/design.md` is the tour of its rooms."""
