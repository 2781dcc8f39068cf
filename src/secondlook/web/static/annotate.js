// The annotator's page: one clip, its options, what was chosen. What is shown comes from `view`, what was chosen from `draft`.
import { Keeper } from "./annotate_keeper.js";
import { Keys } from "./annotate_keys.js";
import { OtherLabel } from "./annotate_labels.js";
import { Player } from "./annotate_player.js";
import { csrf, el } from "./request.js";

const FLAGS = ["no_match", "review", "unsuitable"];
const FLAG_WORDS = { no_match: "None fits", review: "Marked for review", unsuitable: "Unsuitable clip" };
const RATING_WORDS = { yes: "Yes", maybe: "Maybe" };
const empty = () => ({ choices: new Map(), no_match: false, review: false, unsuitable: false, seconds: 0 });
const read = (data) => ({
  ...empty(),
  ...Object.fromEntries(FLAGS.map((flag) => [flag, Boolean(data && data[flag])])),
  choices: new Map(Object.entries((data && data.choices) || {}).map(([label, rating]) => [Number(label), rating])),
  seconds: Number((data && data.seconds) || 0),
});
const written = (draft) => ({ ...draft, choices: Object.fromEntries(draft.choices) });
const said = (draft) => JSON.stringify([[...draft.choices].sort((a, b) => a[0] - b[0]), ...FLAGS.map((flag) => draft[flag])]);

class AnnotatePage {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`[data-${name}]`);
    const { base, who } = root.dataset;
    this.keeper = new Keeper(base, who, csrf(), (state, words) => this.report(state, words), (task, reply) => this.refused(reply));
    this.player = new Player(this.find("clip"), (words) => this.say(words));
    this.other = new OtherLabel(this.find("other"), (label, rating) => this.choose(label, rating, true), () => this.focusOptions());
    this.keys = new Keys(this, document.querySelector("[data-help]"));
    this.texts = new Map();
    this.sending = null;
    for (const flag of FLAGS) this.find(`flag="${flag}"`).addEventListener("click", () => this.toggle(flag));
    for (const name of ["next", "previous", "quit", "undo"]) this.find(name).addEventListener("click", () => this[name]());
    for (const button of document.querySelectorAll("[data-help-open]")) button.addEventListener("click", () => this.keys.help());
    this.find("unseen").addEventListener("click", () => this.unseen());
    this.root.addEventListener("click", (event) => {
      const act = event.target.closest("[data-act]");
      if (act) this[act.dataset.act]();
    });
    this.open();
  }
  working() { return !this.find("work").hidden && Boolean(this.view); }
  places() { return this.view ? this.view.options.length : 0; }

  // -- what is shown -------------------------------------------------------------------------------------------------
  async open() {
    this.find("loading").hidden = false;
    const [labels, state] = await Promise.all([this.labels(), this.keeper.send("GET", "/state")]);
    if (labels) this.other.fill(labels);
    if (!state.ok) return this.trouble(state);
    const wanted = Number((/^#clip-(\d+)$/.exec(location.hash) || [])[1]);
    const there = state.data.batch.items.find((item) => item.position === wanted && item.state === "answered");
    this.take(state.data, !there);
    if (there) await this.go(wanted);
  }
  async labels() {
    try {
      const reply = await fetch(`${this.keeper.base}/labels`);
      return reply.ok ? (await reply.json()).groups : null;
    } catch { return null; }
  }
  take(state, show = true) {
    this.state = state;
    if (!show) return;
    if (state.current) this.show(state.current);
    else this.end(state);
  }
  async reload() {
    const state = await this.keeper.send("GET", "/state");
    if (state.ok) this.take(state.data); else this.trouble(state);
  }
  trouble(reply) {
    if (reply.status === 401) return this.refused(reply);
    this.section("trouble");
    this.find("trouble-words").textContent = reply.words;
    if (reply.again) setTimeout(() => { if (!this.find("trouble").hidden) this.reload(); }, 4000);
  }
  section(name) {
    for (const part of this.root.querySelectorAll("[data-section]")) part.hidden = part.dataset.section !== name;
    this.find("loading").hidden = true;
    if (name !== "work") {
      this.player.video.pause();
      const heading = this.root.querySelector(`[data-section="${name}"] h1`);
      if (heading) heading.focus();
    }
  }
  show(view) {
    this.stopClock();
    this.view = view;
    for (const option of view.options) this.texts.set(option.label, option.text);
    for (const label of this.other.labels || []) this.texts.set(label.label, label.text);
    this.given = read(view.given);
    const stands = view.draft || view.given;
    const kept = view.locked ? null : this.keeper.kept(view.task);
    this.draft = read(kept || stands);
    this.past = [];
    this.section("work");
    this.build();
    this.player.show(view.video, `${this.keeper.base}/times/${view.task}`);
    this.player.prepare(this.state.next_media);
    this.other.clear();
    this.hint("");
    history.replaceState(null, "", `#clip-${view.position}`);
    this.render();
    this.report("saved");
    if (kept && said(this.draft) !== said(read(stands))) this.keeper.note(view.task, this.current());
    else if (kept) this.keeper.release(view.task);
    this.find("question").focus({ preventScroll: true });
    if (scrollY > 0) scrollTo({ top: 0 });
    this.startClock();
  }
  places_() { return this.state.batch.items.filter((item) => item.state !== "expired").map((item) => item.position); }
  build() {
    this.find("options").replaceChildren(...this.view.options.map((option, place) => {
      const text = el("span", { class: "text", id: `option-${place}` }, option.text);
      text.addEventListener("click", () => this.choose(option.label, "yes"));
      const buttons = Object.entries(RATING_WORDS).map(([rating, word]) => {
        const button = el("button", { type: "button", class: rating, "data-rating": rating, "aria-pressed": "false" }, word);
        button.addEventListener("click", () => this.choose(option.label, rating));
        return button;
      });
      const key = el("kbd", { "aria-hidden": "true" }, Keys.nameOf(place));
      const rating = el("span", { class: "rating", role: "group", "aria-labelledby": `option-${place}` }, ...buttons);
      return el("li", { tabindex: "-1", "data-option": String(option.label), "aria-labelledby": `option-${place}` }, key, text, rating);
    }));
  }
  render() {
    const { draft, view } = this;
    const positions = this.places_(), size = this.state.batch.size;
    const at = positions.indexOf(view.position) + 1 || view.position;
    const done = this.state.batch.done;
    this.find("counter").textContent = `Clip ${at} of ${size}`;
    document.title = `Clip ${at} of ${size} · secondlook`;
    const bar = this.find("progress");
    bar.max = size;
    bar.value = done;
    bar.textContent = `${done} of ${size} done`;
    for (const row of this.find("options").children) {
      const rating = draft.choices.get(Number(row.dataset.option));
      row.className = rating || "";
      for (const button of row.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.rating === rating));
        button.disabled = view.locked;
      }
    }
    for (const flag of FLAGS) {
      const button = this.find(`flag="${flag}"`);
      button.setAttribute("aria-pressed", String(draft[flag]));
      button.disabled = view.locked;
    }
    this.find("locked").hidden = !view.locked;
    this.find("answered").hidden = !view.answered || view.locked;
    this.find("previous").disabled = positions.indexOf(view.position) === 0 || positions.length < 2;
    this.find("undo").disabled = !this.past.length;
    this.final();
  }
  // The list is changed where it differs, so that a screen reader says what is new and nothing else.
  final() {
    const list = this.find("final"), { draft, view } = this;
    const place = new Map(view.options.map((option, i) => [option.label, i]));
    const rank = (label) => (place.has(label) ? place.get(label) : 1000 + label);
    const rows = [...draft.choices.keys()].sort((a, b) => rank(a) - rank(b)).map((label) => [`label-${label}`, this.texts.get(label) || `Label ${label}`, label]);
    for (const flag of FLAGS) if (draft[flag]) rows.push([`flag-${flag}`, FLAG_WORDS[flag], null]);
    const there = new Map([...list.children].map((item) => [item.dataset.key, item]));
    for (const [key, item] of there) if (!rows.some((row) => row[0] === key)) item.remove();
    let before = null;
    for (const [key, text, label] of rows) {
      const item = there.get(key) || this.finalRow(key, text, label);
      if (item.previousElementSibling !== before || !item.parentNode) {
        if (before) before.after(item); else list.prepend(item);
      }
      before = item;
      const rating = item.querySelector("[data-turn]");
      if (rating) {
        const now = draft.choices.get(label), other = now === "yes" ? "maybe" : "yes";
        if (rating.textContent !== RATING_WORDS[now]) rating.textContent = RATING_WORDS[now];
        item.className = now;
        rating.setAttribute("aria-label", `${text}: ${RATING_WORDS[now]}. Change to ${RATING_WORDS[other]}`);
      }
      for (const button of item.querySelectorAll("button")) button.disabled = view.locked;
    }
    this.find("final-none").hidden = rows.length > 0;
  }
  finalRow(key, text, label) {
    const item = el("li", { "data-key": key }, el("span", { class: "text" }, text));
    if (label !== null) {
      const turn = el("button", { type: "button", class: "turn", "data-turn": true });
      turn.addEventListener("click", () => this.choose(label, this.draft.choices.get(label) === "yes" ? "maybe" : "yes"));
      item.append(turn);
    }
    const remove = el("button", { type: "button", class: "remove", "aria-label": `Remove ${text}`, title: "Remove" }, "×");
    remove.addEventListener("click", () => {
      if (label === null) this.toggle(key.slice("flag-".length)); else this.choose(label, this.draft.choices.get(label));
      this.find("question").focus({ preventScroll: true });
    });
    item.append(remove);
    return item;
  }

  // -- what is chosen ------------------------------------------------------------------------------------------------
  change(act) {
    if (!this.working()) return;
    if (this.view.locked) return this.hint("This answer was reviewed already and stays as it is.");
    this.sending = null;
    this.past.push({ ...this.draft, choices: new Map(this.draft.choices) });
    act(this.draft);
    this.hint("");
    this.render();
    this.keeper.note(this.view.task, this.current());
  }
  choose(label, rating, add = false) {
    this.change((draft) => {
      if (!add && draft.choices.get(label) === rating) draft.choices.delete(label);
      else draft.choices.set(label, rating);
      draft.no_match = false;
    });
    if (add && this.working() && !this.view.locked) this.hint(`${this.texts.get(label)}: ${RATING_WORDS[rating]}. It stands among the final labels.`);
  }
  choosePlace(place, rating) {
    const option = this.view.options[place];
    if (!option) return;
    this.choose(option.label, rating);
    const now = this.draft.choices.get(option.label);
    if (!now) this.say(`${option.text}: not chosen.`);
    this.find("options").children[place].scrollIntoView({ block: "nearest" });
  }
  rateFocused(rating) {
    const row = document.activeElement.closest("[data-option]");
    if (row) this.choose(Number(row.dataset.option), rating);
    else this.move(1);
  }
  toggle(flag) {
    this.change((draft) => {
      draft[flag] = !draft[flag];
      if (flag === "no_match" && draft.no_match) draft.choices.clear();
    });
    if (flag === "no_match" && this.past.length && this.past.at(-1).choices.size && this.draft.no_match) {
      this.hint("The labels were taken away. Undo brings them back.");
    }
  }
  unseen() {
    this.change((draft) => { draft.unsuitable = true; draft.review = true; });
    this.hint("Noted: the clip could not be seen. Go on with Next.");
  }
  undo() {
    const last = this.past.pop();
    if (!last || !this.working()) return;
    this.sending = null;
    this.draft = { ...last, seconds: this.draft.seconds };
    this.hint("");
    this.say("Undone.");
    this.render();
    this.keeper.note(this.view.task, this.current());
  }
  current() { return written({ ...this.draft, seconds: this.active() }); }

  // -- from clip to clip ---------------------------------------------------------------------------------------------
  async next() {
    if (this.sending || !this.working()) return;
    const { view } = this;
    const changed = said(this.draft) !== said(this.given);
    if (view.answered && (view.locked || !changed)) return this.onward();
    if (!this.draft.choices.size && !FLAGS.some((flag) => this.draft[flag])) {
      return this.hint("Nothing is chosen yet. Choose what fits, or press “None fits”.", true);
    }
    const mine = {};
    this.sending = mine;
    this.find("next").setAttribute("aria-busy", "true");
    for (let wait_s = 1; this.sending === mine; wait_s = Math.min(5, 2 * wait_s)) {
      const reply = await this.keeper.answer(view.task, this.current());
      if (this.view !== view) break;
      if (reply.ok) {
        this.sending = null;
        this.state = reply.data.state;
        if (view.answered) await this.onward(); else this.take(this.state);
        break;
      }
      if (!reply.again) { this.sending = null; this.refused(reply); break; }
      this.hint("Not sent yet: there is no connection. It is kept in this browser and sent as soon as there is one.", true);
      await new Promise((done) => { setTimeout(done, 1000 * wait_s); addEventListener("online", done, { once: true }); });
    }
    this.find("next").removeAttribute("aria-busy");
  }
  onward() {
    const positions = this.places_(), at = positions.indexOf(this.view.position);
    if (at >= 0 && at + 1 < positions.length) return this.go(positions[at + 1]);
    return this.reload();
  }
  async previous() {
    if (!this.working()) return;
    const positions = this.places_(), at = positions.indexOf(this.view.position);
    if (at > 0) await this.go(positions[at - 1]);
    else this.hint("This is the first clip of the batch.");
  }
  async go(position) {
    this.sending = null;
    await this.keeper.flush();
    const reply = await this.keeper.send("GET", `/at/${position}`);
    if (reply.ok) this.show(reply.data);
    else this.hint(reply.words, true);
  }
  back() {
    const positions = this.places_();
    if (positions.length) this.go(positions.at(-1));
  }
  async more() {
    const reply = await this.keeper.send("POST", "/batch", "{}");
    if (reply.ok) this.take(reply.data.state); else this.trouble(reply);
  }
  end(state) {
    this.stopClock();
    this.view = null;
    const { batch, reason } = state;
    const name = this.root.querySelector(`[data-section="${reason}"]`) ? reason : "nothing_left";
    for (const count of this.root.querySelectorAll("[data-batch-done]")) count.textContent = batch.done === 1 ? "1 clip" : `${batch.done} clips`;
    for (const back of this.root.querySelectorAll('[data-act="back"]')) back.hidden = !batch.items.length;
    history.replaceState(null, "", location.pathname);
    document.title = "secondlook";
    this.section(name);
  }
  async quit() {
    if (this.working()) {
      this.stopClock();
      await this.keeper.flush();
    }
    this.find("where").textContent = this.find("counter").textContent.toLowerCase();
    this.find("where-line").hidden = !this.view;
    this.find("unsaved").hidden = !this.keeper.waiting.size;
    this.section("goodbye");
  }
  resume() { if (this.view) { this.section("work"); this.startClock(); this.find("question").focus(); } else this.reload(); }

  // -- words, clock --------------------------------------------------------------------------------------------------
  report(state, words = "") {
    const line = this.find("saved");
    const texts = { saved: "Saved", saving: "Saving…", trying: "Not saved, trying again", refused: words || "Not saved" };
    line.dataset.saved = state;
    if (line.textContent !== texts[state]) line.textContent = texts[state];
  }
  refused(reply) {
    if (reply.status === 401 || reply.status === 403) {
      this.section("signed_out");
      return;
    }
    this.hint(reply.words, true);
    if (reply.status === 404 || reply.status === 409) this.find("reload").hidden = false;
  }
  hint(words, loud = false) {
    const line = this.find("hint");
    line.textContent = words;
    line.classList.toggle("loud", loud);
    this.find("reload").hidden = true;
  }
  say(words) {
    const line = this.find("say");
    line.textContent = "";
    setTimeout(() => { line.textContent = words; }, 30);
  }
  move(by) {
    const rows = [...this.find("options").children];
    const at = rows.indexOf(document.activeElement.closest("[data-option]"));
    const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : (at + by + rows.length) % rows.length];
    if (row) { row.focus({ preventScroll: true }); row.scrollIntoView({ block: "nearest" }); }
  }
  focusOptions() { this.move(1); }
  startClock() { this.since = document.visibilityState === "visible" ? performance.now() : null; }
  stopClock() {
    if (this.view && this.draft) this.draft.seconds = this.active();
    this.since = null;
  }
  active() {
    const more = this.since ? (performance.now() - this.since) / 1000 : 0;
    return Math.round(100 * (this.draft.seconds + more)) / 100;
  }
}

const root = document.querySelector("[data-annotate]");
if (root) {
  const page = new AnnotatePage(root);
  document.addEventListener("visibilitychange", () => {
    if (!page.working()) return;
    if (document.visibilityState === "visible") page.startClock(); else page.stopClock();
  });
}
