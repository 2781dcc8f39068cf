import json

from secondlook.report import _trust_section, page


def value(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "clips": 5.0}


def score(model: str, method: str, gain: float, cue: float, **more):
    return {
        "model": model, "method": method, "status": "ok", "reason": "", "clips": 5,
        "measures": {"deletion_gain": value(gain), "time_ratio": value(2)},
        "on_cue": value(cue) | {"looks_at_cue": cue > 1.6}, "sensitivity": None, **more,
    }  # fmt: skip


def scored() -> dict:
    unsuitable = score("<b>honest</b>", "attention_flow", 0, 0)
    unsuitable |= {"status": "unsuitable", "reason": "has no attention", "measures": {}, "on_cue": None}
    order = [{"method": "lrp", "mean_rank": 1.0}, {"method": "grad_cam", "mean_rank": 2.0}]
    trust = {"order": order, "trusted": ["lrp"], "sentences": ["trust lrp first."]}
    return {
        "scores": [
            score("<b>honest</b>", "grad_cam", 0.1, 1.0),
            score("<b>honest</b>", "lrp", 0.3, 0.9),
            unsuitable,
            score("cheat", "grad_cam", 0.2, 4.0),
        ],
        "trust": [{"model": "<b>honest</b>", **trust}, {"model": "cheat", **trust}],
        "cheating": [{"model": "cheat", "sentences": ["cheat looks at the cue, by the methods' vote."], "rule": "R"}],
        "meanings": {"deletion_gain": "by how much that area is smaller"},
    }


def test_methods_stand_in_the_order_of_their_rank_with_intervals_and_doubts():
    found = _trust_section.section([scored()])
    honest, cheat = found["models"]
    assert [(r["method"], r["rank"], r["doubt"]) for r in honest["rows"]] == [
        ("lrp", "1.0", ""),
        ("grad cam", "2.0", "in doubt"),
    ]
    assert found["columns"] == ["heat on the cue, times even", "deletion gain", "cost, forward passes"]
    assert honest["rows"][0]["cells"][1] == {"text": "0.30", "detail": "0.20 to 0.40"}
    assert honest["left_out"] == ["attention flow: has no attention"]
    assert [r["method"] for r in cheat["rows"]] == ["grad cam"]
    assert len(found["plots"]) == 2


def test_without_scores_there_is_no_section():
    assert _trust_section.section([]) == {}
    assert _trust_section.section([{"scores": [], "trust": []}]) == {}


def test_the_page_says_who_looks_at_the_cue(campaign, tmp_path):
    folder = campaign / "trust"
    folder.mkdir()
    (folder / "explanation_scores.json").write_text(json.dumps(scored()))
    sections = page.write(campaign, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "trust" in sections
    assert "cheat looks at the cue, by the methods&#39; vote." in text
    assert "&lt;b&gt;honest" in text
    assert "<b>honest" not in text
