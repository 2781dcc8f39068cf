// "A different label": coarse group, then its labels; or a search over all of them.
export const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase("en").replace(/[^\p{L}\p{N}]+/gu, " ").trim();

// Labels that hold the words of a query: those that start with it first, then those where a word does, then the rest.
export const ranked = (labels, query) => {
  const wanted = folded(query);
  if (!wanted) return [];
  const words = wanted.split(" ");
  const rank = (text) => {
    if (text.startsWith(wanted)) return 0;
    if (` ${text}`.includes(` ${wanted}`)) return 1;
    if (text.includes(wanted)) return 2;
    return words.every((word) => text.includes(word)) ? 3 : -1;
  };
  return labels
    .map((label) => ({ ...label, rank: rank(label.folded) }))
    .filter((label) => label.rank >= 0)
    .sort((a, b) => a.rank - b.rank || (a.text < b.text ? -1 : 1));
};

export class OtherLabel {
  constructor(root, choose, leave) {
    this.choose = choose;
    this.leave = leave;
    this.coarse = root.querySelector("[data-coarse]");
    this.fine = root.querySelector("[data-fine]");
    this.box = root.querySelector("[data-search]");
    this.list = root.querySelector("[data-found]");
    this.count = root.querySelector("[data-found-count]");
    this.coarse.addEventListener("change", () => this.refine());
    for (const button of root.querySelectorAll("[data-add]")) {
      button.addEventListener("click", () => {
        if (this.fine.value !== "") this.choose(Number(this.fine.value), button.dataset.add);
        else (this.coarse.value === "" && !this.coarse.closest("label").hidden ? this.coarse : this.fine).focus();
      });
    }
    this.box.addEventListener("input", () => this.search());
    this.box.addEventListener("focus", () => this.box.scrollIntoView({ block: "center" }));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => setTimeout(() => document.activeElement !== this.box && this.close(), 150));
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[data-label]");
      if (item) this.take(Number(item.dataset.label), "yes");
    });
  }
  fill(groups) {
    this.groups = groups;
    this.labels = groups.flatMap((group) => group.labels.map((label) => ({ ...label, folded: folded(label.text) })));
    this.coarse.replaceChildren(new Option("Choose a group", ""), ...groups.map((group, i) => new Option(group.name || "Without a group", String(i))));
    if (groups.length === 1) {
      this.coarse.value = "0";
      this.coarse.closest("label").hidden = true;
    }
    this.refine();
  }
  refine() {
    const group = this.coarse.value === "" ? null : this.groups[Number(this.coarse.value)];
    const first = new Option(group ? "Choose a label" : "First choose a group", "");
    this.fine.replaceChildren(first, ...(group ? group.labels : []).map((label) => new Option(label.text, String(label.label))));
    this.fine.disabled = !group;
  }
  clear() {
    this.box.value = "";
    this.close();
    if (this.groups && this.groups.length > 1) { this.coarse.value = ""; this.refine(); } else this.fine.value = "";
  }
  search() {
    this.found = ranked(this.labels || [], this.box.value);
    const shown = this.found.slice(0, 12);
    this.at = shown.length ? 0 : -1;
    this.list.replaceChildren(...shown.map((label, i) => {
      const item = document.createElement("li");
      item.id = `found-${i}`;
      item.setAttribute("role", "option");
      item.dataset.label = String(label.label);
      item.textContent = label.text;
      return item;
    }));
    const open = folded(this.box.value) !== "";
    const more = this.found.length - shown.length;
    this.count.textContent = !open ? "" : this.found.length ? `${this.found.length} found${more > 0 ? `, ${shown.length} shown` : ""}` : "No label holds these words.";
    this.list.hidden = !shown.length;
    this.box.setAttribute("aria-expanded", String(shown.length > 0));
    this.mark();
  }
  mark() {
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === this.at)));
    const item = this.list.children[this.at];
    if (item) { this.box.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); } else this.box.removeAttribute("aria-activedescendant");
  }
  key(event) {
    const many = this.list.hidden ? 0 : this.list.children.length;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && many) {
      event.preventDefault();
      this.at = (this.at + by + many) % many;
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (many && this.at >= 0) this.take(Number(this.list.children[this.at].dataset.label), event.shiftKey ? "maybe" : "yes");
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (this.box.value) { this.box.value = ""; this.search(); } else this.leave();
    }
  }
  take(label, rating) {
    this.choose(label, rating);
    this.box.value = "";
    this.search();
  }
  close() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }
}
