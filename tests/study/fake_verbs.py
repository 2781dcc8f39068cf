"""A child that answers as the verbs do, without training: `train` writes a card, `predict` draws seeded logits.

A seed of 13 fails, a model `crash:tiny` kills the process, `slow:tiny` takes its time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from secondlook import tables


def option(words: list[str], name: str, default: str = "") -> str:
    return words[words.index(name) + 1] if name in words else default


def train(words: list[str]) -> dict:
    model, run = option(words, "--model"), Path(option(words, "-o"))
    if option(words, "--seed") == "13":
        return {"code": 2, "words": "'13': brings bad luck.", "printed": ""}
    if model == "crash:tiny":
        os.kill(os.getpid(), signal.SIGKILL)
    if model == "slow:tiny":
        time.sleep(5)
    run.mkdir(parents=True, exist_ok=True)
    clip = {"frames": 8, "height": 40, "width": 48, "modality": "rgb", "mean": [0, 0, 0]}
    (run / "card.json").write_text(json.dumps({"name": model, "clip": clip, "head": "", "options": {}}))
    space = tables.label_space(tables.read(tables.VIDEOS, words[1]))
    (run / "labels.json").write_text(json.dumps(space.to_dict()))
    (run / "curves.csv").write_text("epoch,train_loss\n1,2.0\n2,1.0\n")
    (run / "times.txt").open("a").write("trained\n")
    return {"code": 0, "words": "", "printed": ""}


def predict(words: list[str]) -> dict:
    run, videos, output = words[1], tables.read(tables.VIDEOS, words[2]), option(words, "-o")
    card = json.loads((Path(run) / "card.json").read_text())
    skill = 4.0 if card["name"].startswith("good") else 0.5
    rows = []
    space = tables.label_space(videos)
    rng = np.random.default_rng(zlib.crc32(f"{run}{option(words, '--views')}".encode()))
    for row in videos.to_pylist():
        if row["split"] == option(words, "--split"):
            logits = rng.normal(size=len(space))
            logits[row["label"]] += skill * rng.uniform()
            rest = {"view": -1, "start_s": float("nan"), "crop": "", "status": "ok", "reason": ""}
            kept = {name: row[name] for name in ("video_id", "label", "split")}
            rows.append({**kept, **rest, "logits": logits.tolist()})
    made = {"label_space": space.to_dict(), "model": card["name"]}
    tables.write(tables.PREDICTIONS, rows, output, made)
    return {"code": 0, "words": "", "printed": ""}


def main() -> None:
    verbs = {"train": train, "predict": predict}
    costs = {"code": 0, "words": "", "printed": json.dumps({"parameters": 352_822, "macs": 60_000_000}) + "\n"}
    for line in sys.stdin:
        asked = json.loads(line)
        with Path(asked["log"]).open("a") as log:
            log.write(" ".join(asked["words"]) + "\n")
        words = asked["words"]
        answer = verbs[words[0]](words) if words[0] in verbs else costs
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
