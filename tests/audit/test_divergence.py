"""The audit of KL estimators: its numbers are those of independent sums, whatever the two policies."""

import pytest
import torch

from rsgrpo.audit.divergence import audit_of_kl

PAIRS = [((0.5, 0.3, 0.15, 0.05), (0.25,) * 4), ((0.2, 0.8), (0.6, 0.4)), ((0.1, 0.2, 0.7), (0.5, 0.3, 0.2))]


def rows(content):
    return {(row["estimator"], row["place"]): row for row in content["estimators"]}


@pytest.mark.parametrize(("policy", "reference"), PAIRS)
def test_which_estimator_follows_which_gradient(policy, reference) -> None:
    content = audit_of_kl(policy, reference)
    p, q = (torch.tensor(values, dtype=torch.float64) for values in (policy, reference))
    kl = (p * (p / q).log()).sum().item()
    # d KL(p || q) / d logit_j = p_j (log(p_j / q_j) - KL); d KL(q || p) / d logit_j = p_j - q_j.
    gradient, other = (p * ((p / q).log() - kl)).tolist(), (p - q).tolist()
    assert content["kl"] == pytest.approx(kl, rel=1e-12)
    assert content["gradient"] == pytest.approx(gradient, abs=1e-12)
    assert content["other_gradient"] == pytest.approx(other, abs=1e-12)
    of = rows(content)
    assert of["k1", "loss"]["mean"] == pytest.approx([0.0] * len(policy), abs=1e-12)
    assert of["k2", "loss"]["mean"] == pytest.approx(gradient, abs=1e-12)
    assert of["k3", "loss"]["mean"] == pytest.approx(other, abs=1e-12)
    assert of["k1", "reward"]["mean"] == pytest.approx(gradient, abs=1e-12)
    assert of["k3", "reward"]["mean"] == pytest.approx([g - o for g, o in zip(gradient, other, strict=True)], abs=1e-12)
    for place in ("loss", "reward"):
        assert of["k1", place]["value"] == pytest.approx(1, rel=1e-12)
        assert of["k3", place]["value"] == pytest.approx(1, rel=1e-12)
        assert of["k2", place]["value"] != pytest.approx(1, rel=1e-2)
    assert (of["k1", "loss"]["along"], of["k1", "loss"]["cosine"]) == (0, None)
    assert of["k2", "loss"]["cosine"] == pytest.approx(1, rel=1e-12)
