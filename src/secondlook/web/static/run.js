// The overview: agreement is counted in the background, since it reads every answer.
import { el, get } from "./request.js";

const box = document.querySelector("[data-agreement]");
if (box) {
  const words = box.querySelector("[data-words]");
  get(box.dataset.agreement, { timeoutMs: 120000 }).then((found) => {
    const tiles = found.tiles.map((tile) => el("li", {},
      el("span", { class: "label" }, tile.label), el("span", { class: "value" }, tile.value), el("span", { class: "note" }, tile.note)));
    box.querySelector("[data-tiles]").append(...tiles);
    words.textContent = found.words;
  }).catch((error) => { words.textContent = error.message; });
}
