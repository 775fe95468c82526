"""Every number of the reference's `vectors.json`, against the objectives that it is about. No name may be left out."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.evaluation.pass_at_k import pass_at_k
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.entropic import Entropic, beta_of_kl
from rsgrpo.objectives.focal import Focal
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.objectives.subset_max import shortfall
from rsgrpo.objectives.unlikeliness import Unlikeliness, discounted
from rsgrpo.objectives.w_reinforce import WReinforce
from tests.objectives.cases import advantages_of, binary_group

OBJECTIVES: dict[str, tuple[Objective, int]] = {
    "reinforce": (Reinforce(), 1),
    "mean_baseline": (GRPO(), 1),
    "rloo": (RLOO(), 1),
    "grpo_std_ddof1_eps1e-6": (GRPO(normalize_std=True, eps=1e-6), 1),
    "grpo_std_ddof0_eps1e-6": (GRPO(normalize_std=True, ddof=0, eps=1e-6), 1),
    **{f"rs_plugin_beta{b}": (RSGRPO(beta=float(b)), 1) for b in (-4, -2, 0, 0.5, 1, 2, 4, 8, 64)},
    **{f"rs_loo_beta{b}": (RSGRPO(beta=float(b), estimator="loo"), 1) for b in (-2, 2, 4)},
    **{f"rs_vimco_beta{b}": (RSGRPO(beta=float(b), estimator="vimco"), 1) for b in (-2, 2, 4)},
    "tang_bon_raw": (BestOfN(), 4),
    **{f"pkpo_s_k{k}_sumconv": (PKPO(k=k, estimator="s"), 4) for k in (1, 2, 3, 4)},
    **{f"pkpo_sloo_k{k}_sumconv": (PKPO(k=k, estimator="s_loo"), 4) for k in (1, 2, 3)},
    **{f"pkpo_sloo_minus_one_k{k}_sumconv": (PKPO(k=k), 4) for k in (2, 3, 4)},
    **{f"maxpo_k{k}": (MaxPO(k=k), 1) for k in (1, 2, 3)},
    **{f"rspo_maxk_k{k}": (RSPO(k=k), 1) for k in (2, 3)},
    "maxrl_eps1e-6": (MaxRL(eps=1e-6), 1),
    **{f"mahdavi_plugin_K{k}": (Mahdavi(k=k), 1) for k in (2, 3, 4)},
    **{f"mahdavi_grpo_K{k}_ddof0": (Mahdavi(k=k, estimator="grpo", eps=1e-6), 1) for k in (2, 3, 4)},
    **{f"rspo_passk_K{k}": (RSPO(k=k, metric="pass_at_k"), 1) for k in (2, 3, 4)},
    **{f"chen_K{k}_eps1e-6": (Chen(k=k, eps=1e-6), 1) for k in (2, 3)},
    **{f"chen_unnorm_k{k}": (Chen(k=k, normalize_std=False), 1) for k in (2, 3)},
    "w_reinforce_0.1": (WReinforce(), 1),
    "fgrpo_gamma1": (Focal(eps=1e-6), 1),
}
"""Name -> the objective, and by how much its advantages are larger: N = 4 where the vectors are for a sum over
completions (and for Tang's raw difference), since ours are for the mean."""

OTHERS = {
    "convention",
    "inputs",
    "values",
    "unlikeliness_beta0.25",
    "pass_at_k",
    "beta_kl_ln2",
    "fig2b_N16_pos_neg_by_c",
}


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference" / "vectors.json").read_text())


def test_no_name_of_the_file_is_left_out(vectors):
    assert set(OBJECTIVES) == set(vectors["values"])
    assert set(vectors) == OTHERS
    assert set(vectors["unlikeliness_beta0.25"]) == {"mean_token_logp", "cases"}
    assert set(vectors["fig2b_N16_pos_neg_by_c"]) == {f"rs_beta{b}" for b in (0, 1, 2, 4, 8)}
    assert set(vectors["beta_kl_ln2"]) == set(KL_GROUPS)
    assert all(set(cases) <= set(vectors["inputs"]) for cases in vectors["values"].values())
    assert all(len(cases) >= 4 for cases in vectors["values"].values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_values(vectors, name):
    objective, factor = OBJECTIVES[name]
    for case, expected in vectors["values"][name].items():
        got = advantages_of(objective, vectors["inputs"][case]) / factor
        assert got.tolist() == pytest.approx(expected, abs=1e-11), case


@pytest.mark.parametrize("case", ["bin4_c2", "bin4_c3", "cont4"])
def test_unlikeliness(vectors, case):
    reference = vectors["unlikeliness_beta0.25"]
    rewards = {**vectors["inputs"], "bin4_c3": [1, 1, 1, 0]}[case]
    group = torch.tensor([rewards], dtype=torch.float64)
    logprobs = torch.tensor([reference["mean_token_logp"]], dtype=torch.float64)
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=logprobs)
    assert discounted(group, logprobs, 0.25)[0].tolist() == pytest.approx(reference["cases"][case]["reward"], abs=1e-15)
    got = Unlikeliness(eps=1e-6).advantages(group, context)[0]
    assert got.tolist() == pytest.approx(reference["cases"][case]["adv"], abs=1e-11)


def test_pass_at_k(vectors):
    # The mean over a group of the subset maxima that hold each completion is pass@k too, by another road.
    for name, expected in vectors["pass_at_k"].items():
        n, c, k = (int(part[1:]) for part in name.split("_"))
        assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12), name
        if c > 0:
            assert 1 - shortfall(binary_group(c, n), k).mean().item() == pytest.approx(expected, abs=1e-12), name


KL_GROUPS: dict[str, Callable[[Any], Tensor]] = {
    "cont4": lambda inputs: torch.tensor([inputs["cont4"]], dtype=torch.float64),
    "bin4_c1": lambda inputs: torch.tensor([inputs["bin4_c1"]], dtype=torch.float64),
    "bin16_c1": lambda inputs: binary_group(1, 16),
    "bin16_c4": lambda inputs: binary_group(4, 16),
}


@pytest.mark.parametrize("case", KL_GROUPS)
def test_beta_of_kl(vectors, case):
    rewards = KL_GROUPS[case](vectors["inputs"])
    expected = vectors["beta_kl_ln2"][case]
    assert beta_of_kl(rewards, math.log(2), beta_max=1e6).item() == pytest.approx(expected, abs=1e-8)
    # The objective uses that beta, without dividing by it.
    fixed = advantages_of(Entropic(beta=expected), rewards)
    torch.testing.assert_close(advantages_of(Entropic(kl=math.log(2)), rewards), fixed, atol=1e-7, rtol=0)


@pytest.mark.parametrize("beta", [0, 1, 2, 4, 8])
def test_advantages_by_number_correct(vectors, beta):
    reference = vectors["fig2b_N16_pos_neg_by_c"][f"rs_beta{beta}"]
    assert [c for c, pair in enumerate(reference) if pair is None] == [0, 16]
    for correct in range(1, 16):
        a = advantages_of(RSGRPO(beta=float(beta)), binary_group(correct, 16))[0]
        assert [a[0].item(), a[-1].item()] == pytest.approx(reference[correct], abs=1e-9), correct
