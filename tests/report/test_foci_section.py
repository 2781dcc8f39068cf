import json

from PIL import Image

from secondlook.report import page


def test_the_most_suspicious_clusters_are_shown_with_their_sheets(campaign, tmp_path):
    folder = campaign / "foci"
    folder.mkdir()
    cluster = {"suspicion": 0.8, "reason": "compact <i>focus</i>", "size": 7}
    data = {
        "method": "grad_cam", "clips": 30, "clusters_status": "ok", "clusters": [cluster] * 5,
        "classes": [{"name": "Rolling", "looks_elsewhere": True}, {"name": "Moving up", "looks_elsewhere": False}],
    }  # fmt: skip
    (folder / "foci.json").write_text(json.dumps(data))
    for name in ("cluster-01", "classes"):
        Image.new("RGB", (40, 20), "green").save(folder / f"{name}.png")
    sections = page.write(campaign, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    part = text[text.index('id="foci"') : text.index("</section>", text.index('id="foci"'))]
    assert "foci" in sections
    assert part.count("Suspicion 0.80") == 3
    assert "2 further clusters" in part
    assert "compact &lt;i&gt;focus" in part
    assert part.count("<img") == 2
    assert "by chance: Rolling." in part
