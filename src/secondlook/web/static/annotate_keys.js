// The keyboard: every action of the page has a key. Keys with Ctrl, Alt or Meta are left to the browser.
const OPTION_LETTERS = "acdefghiloqstvwx";

export class Keys {
  constructor(page, dialog) {
    this.page = page;
    this.dialog = dialog;
    this.on = true;
    this.pressed = null;
    this.tick = dialog.querySelector("[data-keys-on]");
    try { this.on = localStorage.getItem("secondlook:keys") !== "off"; } catch { /* no storage: they are on */ }
    this.tick.checked = this.on;
    this.tick.addEventListener("change", () => {
      this.on = this.tick.checked;
      document.body.classList.toggle("no-keys", !this.on);
      try { localStorage.setItem("secondlook:keys", this.on ? "on" : "off"); } catch { /* no storage */ }
    });
    document.body.classList.toggle("no-keys", !this.on);
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    // A button that was pressed with the mouse keeps the focus, but Space and Enter are not meant for it.
    document.addEventListener("click", (event) => { this.pressed = event.detail > 0 ? event.target.closest("button, summary") : null; }, true);
    document.addEventListener("focusin", (event) => { if (event.target !== this.pressed) this.pressed = null; });
    document.addEventListener("keydown", (event) => this.key(event));
  }
  static nameOf(place) {
    return place < 9 ? String(place + 1) : (OPTION_LETTERS[place - 9] || "").toUpperCase();
  }
  help() { if (this.dialog.open) this.dialog.close(); else this.dialog.showModal(); }
  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const at = event.target;
    if (at.closest("input:not([type=range]), select, textarea")) return;
    if (event.key === "?") { event.preventDefault(); this.help(); return; }
    if (this.dialog.open || !this.on || !this.page.working()) return;
    const ranged = at.closest("input[type=range]");
    const button = at.closest("button, a, summary");
    const meant = button && button !== this.pressed;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if ((name === " " || name === "Enter") && meant) return;
    if (ranged && /^(Arrow|Home|End|Page)/.test(name)) return;
    const act = this.actions(event)[name];
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const letter = OPTION_LETTERS.indexOf(name);
    if (digit && !act) this.page.choosePlace(Number(digit[1]) - 1, event.shiftKey ? "maybe" : "yes");
    else if (act) act();
    else if (name.length === 1 && letter >= 0 && letter + 9 < this.page.places()) this.page.choosePlace(letter + 9, event.shiftKey ? "maybe" : "yes");
    else return;
    event.preventDefault();
  }
  actions(event) {
    const { page } = this, { player } = page;
    const once = (act) => (event.repeat ? () => {} : act);
    return {
      n: once(() => page.toggle("no_match")),
      r: once(() => page.toggle("review")),
      u: once(() => page.toggle("unsuitable")),
      z: () => page.undo(),
      y: once(() => page.rateFocused("yes")),
      m: once(() => page.rateFocused("maybe")),
      "/": () => page.other.box.focus(),
      " ": once(() => player.toggle()),
      ",": () => player.step(-1),
      ".": () => player.step(1),
      "[": () => player.faster(-1),
      "-": () => player.faster(-1),
      "]": () => player.faster(1),
      "=": () => player.faster(1),
      "+": () => player.faster(1),
      j: () => page.move(1),
      ArrowDown: () => page.move(1),
      k: () => page.move(-1),
      ArrowUp: () => page.move(-1),
      Enter: once(() => page.next()),
      p: once(() => page.previous()),
      Backspace: once(() => page.previous()),
    };
  }
}
