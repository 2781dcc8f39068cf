"""Every signal finds planted wrong labels, keeps the promises on options, repeats, and says what it lacks."""

import numpy as np
import pytest

from secondlook import catalog, tables
from secondlook.audit import align, takes
from secondlook.audit.combined import places, score
from secondlook.errors import BadValue, UnknownName
from tests.audit import build
from tests.audit.planted import learned, planted, write_dynamics

TOGETHER = ("misclassified", "confident_disagreement", "low_margin")
SIGNALS = catalog.names("audit")


@pytest.fixture(scope="module")
def found():
    return planted()


@pytest.fixture(scope="module")
def given(found, tmp_path_factory):
    """What each signal needs, by its name."""
    run = tmp_path_factory.mktemp("run")
    write_dynamics(run / "dynamics.parquet", *learned(found))
    inputs = {"vectors": found.vectors, "embeddings": found.embeddings, "run": run}
    options = {s: {k: v for k, v in inputs.items() if k in takes(s)} for s in SIGNALS}
    near = {"near_duplicates": {"embeddings": found.embeddings}}
    options["combined"] = {"signals": ("misclassified", "confident_disagreement", "near_duplicates"), "options": near}
    return options


def average_precision(found, rows):
    """Mean, over the planted errors, of the precision at the place of each; those not found count 0."""
    hit = found.wrong_N[[int(v[1:]) for v in rows["video_id"].to_pylist()]]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / found.wrong_N.sum())


LEAST = {  # precision among the 100 first; 1 in 10 labels is wrong
    "combined": 0.8, "confident_disagreement": 0.9, "confident_learning": 0.9, "label_closeness": 0.75,
    "low_margin": 0.2, "misclassified": 0.9, "near_duplicates": 0.9, "training_dynamics": 0.6,
}  # fmt: skip


def test_every_signal_is_tested():
    assert set(LEAST) == set(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS)
def test_planted_wrong_labels_are_found(signal, found, given):
    rows = catalog.find("audit", signal).find(None, found.predictions, **given[signal])
    chance = found.wrong_N.mean()
    assert 0.08 < chance < 0.13
    assert found.rates(rows, 100) >= LEAST[signal], (found.rates(rows, 100), average_precision(found, rows))
    if signal != "low_margin":
        assert average_precision(found, rows) > 3 * chance


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.spec("label-reassessment", "C1")
def test_options_and_suspicion_of_every_signal(signal, found, given):
    module = catalog.find("audit", signal)
    rows = module.find(None, found.predictions, top_k=3, **given[signal])
    assert rows.schema.names == [c.name for c in tables.CANDIDATES.columns]
    assert 0 < rows.num_rows < len(found.given_N)
    suspicion = rows["suspicion"].to_numpy()
    assert ((suspicion >= 0) & (suspicion <= 1)).all()
    assert (np.diff(suspicion) <= 0).all()
    logits = {n: tables.matrix(t.filter(build.pa.compute.equal(t["view"], -1)), "logits")
              for n, t in found.predictions.items()}  # fmt: skip
    for row in rows.to_pylist()[:200]:
        i = int(row["video_id"][1:])
        tops = [set(np.argsort(-x[i], kind="stable")[:3].tolist()) for x in logits.values()]
        assert set.union(*tops) | {found.given_N[i]} <= set(row["options"])
        assert len(set(row["options"])) == len(row["options"])
        assert row["given_label"] == found.given_N[i]
        assert row["reason"]
        right = all(int(x[i].argmax()) == found.given_N[i] for x in logits.values())
        missed = all(found.given_N[i] not in top for top in tops)
        assert row["category"] == ("right" if right else "topk" if missed else "top1")


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.spec("label-reassessment", "C3")
def test_runs_repeat_and_the_given_label_stands_anywhere(signal, found, given):
    module = catalog.find("audit", signal)
    one, two = (module.find(None, found.predictions, top_k=3, **given[signal]) for _ in range(2))
    assert one.equals(two)
    other = module.find(None, found.predictions, top_k=3, seed=1, **given[signal])
    assert other.num_rows == one.num_rows
    assert not other["options"].equals(one["options"])
    place = [r["options"].index(r["given_label"]) / (len(r["options"]) - 1) for r in one.to_pylist()]
    assert abs(np.mean(place) - 0.5) < 4 * 0.4 / np.sqrt(len(place))
    assert module.find(None, found.predictions, limit=7, **given[signal]).num_rows == 7


@pytest.mark.parametrize(
    ("signal", "cure"),
    [
        ("label_closeness", "--vectors"),
        ("near_duplicates", "--embeddings"),
        ("training_dynamics", "--run"),
    ],
)
def test_a_signal_without_what_it_needs_says_so(signal, cure, found):
    with pytest.raises(BadValue, match=cure):
        catalog.find("audit", signal).find(None, found.predictions)


def test_places_match_their_slow_twin():
    rng = np.random.default_rng(0)
    suspicion_N = rng.integers(0, 6, size=40).astype(np.float32) / 6
    expected = [sum(b < a for b in suspicion_N) / 39 for a in suspicion_N]
    assert places(suspicion_N) == pytest.approx(expected)
    assert places(np.zeros(1, np.float32)).tolist() == [0]


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("together", ["any", "all"])
def test_the_combination_matches_its_slow_twin(how, together, found):
    aligned = align(found.predictions)
    parts = {s: catalog.find("audit", s).score(aligned) for s in TOGETHER}
    said = score(aligned, parts=parts, how=how, together=together)
    merge = max if how == "max" else lambda x: sum(x) / len(x)
    for i in range(0, len(found.given_N), 97):
        ranks = [(p.suspicion_N < p.suspicion_N[i]).sum() / (len(found.given_N) - 1) for p in parts.values()]
        assert said.suspicion_N[i] == pytest.approx(merge(ranks), abs=1e-6)
        chosen = [name for name, p in parts.items() if p.selected_N[i]]
        assert said.selected_N[i] == (len(chosen) == 3 if together == "all" else bool(chosen))
        (reason,) = said.reasons(np.array([i]))
        assert [name for name in parts if f"{name}: " in reason] == chosen


def test_a_combination_needs_other_signals(found):
    find = catalog.find("audit", "combined").find
    with pytest.raises(BadValue, match="each once"):
        find(None, found.predictions, signals=("low_margin", "low_margin"))
    with pytest.raises(BadValue, match="cannot be one"):
        find(None, found.predictions, signals=("low_margin", "combined"))
    with pytest.raises(UnknownName, match="low_margin"):
        find(None, found.predictions, signals=("low_margins",))
    with pytest.raises(BadValue, match="to combine"):
        score(align(found.predictions))
