"""The optimiser's state in the host's memory while the engine samples: another place, the same numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rsgrpo.rollouts.hf import HFEngine
from rsgrpo.training.offload import OffloadedState
from tests.training.test_module import RECIPE, train


def test_the_state_goes_and_comes_back_as_it_was() -> None:
    parameter = nn.Parameter(torch.arange(12.0).view(3, 4))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    state = OffloadedState(optimizer)
    state.to_host()
    assert not state.is_away  # there is none yet
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moments = [optimizer.state[parameter][name] for name in ("exp_avg", "exp_avg_sq")]
    before, places = [m.clone() for m in moments], [m.data_ptr() for m in moments]
    for _ in range(2):
        state.to_host()
        state.to_host()
        assert state.is_away
        assert all(m.data_ptr() not in places for m in moments)
        state.to_device()
        assert not state.is_away
        for moment, was in zip(moments, before, strict=True):
            torch.testing.assert_close(moment, was, atol=0, rtol=0)
    optimizer.step()
    assert optimizer.state[parameter]["exp_avg"] is moments[0]
    assert float(moments[0][0, 0]) == pytest.approx(0.19)


def test_a_run_is_the_same_and_the_engine_finds_the_state_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, away = replace(RECIPE, iterations=3), []
    generate, step = HFEngine.generate, torch.optim.AdamW.step
    modules: list[Any] = []

    def watched(self: HFEngine, *args: Any, **kwargs: Any) -> Any:
        away.append(("generate", [bool(s and s.is_away) for s in (m._offloaded for m in modules)]))
        return generate(self, *args, **kwargs)

    def stepped(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        away.append(("step", [bool(s and s.is_away) for s in (m._offloaded for m in modules)]))
        return step(self, *args, **kwargs)

    plain, _ = train(tmp_path / "plain", recipe)
    configure = type(plain).configure_optimizers

    def seen(self: Any) -> Any:
        modules.append(self)
        return configure(self)

    monkeypatch.setattr(type(plain), "configure_optimizers", seen)
    monkeypatch.setattr(HFEngine, "generate", watched)
    monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
    offloaded, _ = train(tmp_path / "offloaded", recipe, offload=True)
    assert [state for state in away if state[0] == "generate"] == [
        ("generate", [False]),  # nothing is there yet
        ("generate", [True]),
        ("generate", [True]),
    ]
    assert {bool(state[1][0]) for state in away if state[0] == "step"} == {False}
    for mine, other in zip(offloaded.policy.parameters(), plain.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=0, rtol=0)
