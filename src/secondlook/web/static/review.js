// The reviewer's page: a verdict is saved as soon as it is given; every step has a key.
import { post, say } from "./request.js";

const root = document.querySelector("[data-review]");
const columns = [...root.querySelectorAll("[data-answer]")];
const byId = new Map(columns.map((column) => [Number(column.dataset.answer), column]));
const video = root.querySelector("[data-video]");
const left = root.querySelector("[data-left]");
const next = root.querySelector("[data-next]");
const help = document.querySelector("[data-help]");
const radio = (column, value) => column.querySelector(`input[name="approved"][value="${value}"]`);
const second = (column) => column.querySelector('input[name="second_review"]');
let saving = Promise.resolve();

for (const button of document.querySelectorAll("[data-no-script]")) button.hidden = true;

function show(answers, words) {
  for (const answer of answers) {
    const column = byId.get(answer.answer_id);
    if (!column) continue;
    column.querySelector("[data-done]").textContent = answer.done;
    column.querySelector("[data-blanks]").textContent = answer.blanks;
    column.querySelector("[data-rate]").textContent = answer.rate;
    if ("unsaved" in column.dataset) continue; // what stands there is newer
    column.dataset.state = answer.state;
    column.querySelector("[data-words]").textContent = answer.words;
    radio(column, true).checked = answer.approved;
    radio(column, false).checked = answer.rejected;
    second(column).checked = answer.second;
  }
  left.textContent = words;
}

function count() {
  const open = columns.filter((column) => column.dataset.state === "open").length;
  left.textContent = open ? `${open} not judged yet` : "All are judged";
}

/** Saves what stands in a column; decisions are sent one after another, so that the last one counts. */
function save(column) {
  const chosen = column.querySelector('input[name="approved"]:checked');
  if (!chosen) {
    column.dataset.unsaved = "";
    column.querySelector("[data-words]").textContent = "Say approve or reject as well, as it seems now.";
    return;
  }
  const verdict = { answer_id: Number(column.dataset.answer), approved: chosen.value === "true", second_review: second(column).checked };
  const turn = String(Number(column.dataset.unsaved || 0) + 1);
  column.dataset.unsaved = turn;
  column.querySelector("[data-words]").textContent = "Saving…";
  saving = saving.then(async () => {
    try {
      // The same verdict twice is stored once, so it may be sent again.
      const found = await post(root.dataset.api, { verdicts: [verdict] }, { retries: 3 });
      if (column.dataset.unsaved === turn) delete column.dataset.unsaved;
      show(found.answers, found.words);
    } catch (error) {
      column.querySelector("[data-words]").textContent = "Not saved.";
      say(error.message, "bad");
    }
  });
}

function decide(column, approved) {
  if (!column) return;
  radio(column, approved).checked = true;
  save(column);
  column.dataset.state = approved ? "approved" : "rejected";
  const open = columns.find((other) => other !== column && other.dataset.state === "open");
  (open || column).focus();
}

const focused = () => columns.find((column) => column.contains(document.activeElement));
const current = () => focused() || columns.find((column) => column.dataset.state === "open") || columns[0];
function move(step) {
  const at = columns.indexOf(focused());
  const to = at < 0 ? 0 : Math.min(Math.max(at + step, 0), columns.length - 1);
  columns[to]?.focus();
}

for (const column of columns) {
  column.addEventListener("change", (event) => {
    if (event.target.name === "approved") decide(column, event.target.value === "true");
    else if (event.target.name === "second_review") save(column);
  });
  column.querySelector("[data-verdict]").addEventListener("submit", (event) => event.preventDefault());
}

async function leave(go) {
  await saving;
  if (columns.some((column) => "unsaved" in column.dataset)) {
    say("Something on this page is not saved yet.", "warn");
    return;
  }
  go();
}
next.addEventListener("click", (event) => { event.preventDefault(); leave(() => location.assign(next.href)); });
root.querySelector("[data-queue]").addEventListener("change", (event) => event.target.form.submit());
addEventListener("beforeunload", (event) => { if (columns.some((column) => "unsaved" in column.dataset)) event.preventDefault(); });

const keys = {
  a: () => decide(current(), true),
  r: () => decide(current(), false),
  s: () => { const column = current(); if (column) { second(column).checked = !second(column).checked; column.focus(); save(column); } },
  Enter: () => next.click(),
  b: () => leave(() => history.back()),
  n: () => document.getElementById("note").focus(),
  " ": () => (video.paused ? video.play().catch(() => {}) : video.pause()),
  ",": () => { video.pause(); video.currentTime = Math.max(0, video.currentTime - 0.1); },
  ".": () => { video.pause(); video.currentTime += 0.1; },
  "?": () => help.showModal(),
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const on = event.target;
  if (event.key === "Escape" && on.matches("input[type=text]")) return void current()?.focus();
  if (on.matches("textarea, select, input[type=text], input[type=number]")) return;
  if ([" ", "Enter"].includes(event.key) && on.matches("button, a, summary, video")) return;
  if ([" ", "ArrowLeft", "ArrowRight"].includes(event.key) && on.matches("input, video")) return;
  const place = Number(event.key);
  const act = place >= 1 ? columns[place - 1] && (() => columns[place - 1].focus()) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.querySelector("[data-help-open]").addEventListener("click", () => help.showModal());
help.querySelector("[data-close]").addEventListener("click", () => help.close());
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
count();
if (document.activeElement === document.body) (columns.find((column) => column.dataset.state === "open") || columns[0])?.focus({ preventScroll: true });
