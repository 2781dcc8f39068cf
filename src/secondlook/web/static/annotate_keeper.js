// Keeps what stands on the page: in this browser at once, on the server within a quarter of a second, again and again until
// the server has said that it is on disk.
export class Keeper {
  constructor(base, who, csrf, report, refused) {
    Object.assign(this, { base, who, csrf, report, refused, waiting: new Map(), timer: 0, busy: null, tries: 0 });
    addEventListener("online", () => this.flush());
    addEventListener("pagehide", () => this.leave());
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") this.flush(); });
  }
  key(task) { return `secondlook:draft:${this.who}:${this.base}:${task}`; }
  // What was never acknowledged, from this visit or an earlier one.
  kept(task) {
    try { return JSON.parse(localStorage.getItem(this.key(task))); } catch { return null; }
  }
  hold(task, text) {
    try { localStorage.setItem(this.key(task), text); } catch { /* no storage: the server alone keeps it */ }
  }
  release(task) {
    try { localStorage.removeItem(this.key(task)); } catch { /* no storage */ }
  }
  note(task, draft) {
    const text = JSON.stringify(draft);
    this.waiting.set(task, text);
    this.hold(task, text);
    this.report("saving");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), 250);
  }
  // One request; `again` says that it may succeed later, `words` why it did not.
  async send(method, path, text) {
    let reply;
    try {
      const headers = { Accept: "application/json", "X-CSRF-Token": this.csrf };
      if (text !== undefined) headers["Content-Type"] = "application/json";
      reply = await fetch(this.base + path, { method, headers, body: text, cache: "no-store" });
    } catch {
      return { ok: false, again: true, status: 0, words: "There is no connection." };
    }
    let data = {};
    try { data = await reply.json(); } catch { /* not JSON: the status says it all */ }
    const again = reply.status === 429 || reply.status >= 500;
    return { ok: reply.ok, again, status: reply.status, data, words: wordsOf(data) || `The server said ${reply.status}.` };
  }
  async flush() {
    clearTimeout(this.timer);
    if (this.busy) return this.busy;
    this.busy = this.push();
    try { await this.busy; } finally { this.busy = null; }
  }
  async push() {
    while (this.waiting.size) {
      const [task, text] = this.waiting.entries().next().value;
      const reply = await this.send("PUT", `/draft/${task}`, text);
      if (reply.ok) {
        this.tries = 0;
        this.settle(task, text);
      } else if (reply.again) {
        this.tries += 1;
        this.report("trying");
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.flush(), 1000 * Math.min(5, 2 ** (this.tries - 1)));
        return;
      } else {
        if (this.waiting.get(task) === text) this.waiting.delete(task);
        this.report("refused", reply.words);
        this.refused(task, reply);
        return;
      }
    }
    this.report("saved");
  }
  settle(task, text) {
    if (this.waiting.has(task) && this.waiting.get(task) !== text) return;
    this.waiting.delete(task);
    this.release(task);
  }
  // The draft becomes an answer. A draft on its way is waited for, so that it cannot come in after the answer.
  async answer(task, draft) {
    const text = JSON.stringify(draft);
    this.hold(task, text);
    this.report("saving");
    clearTimeout(this.timer);
    this.waiting.delete(task);
    if (this.busy) await this.busy;
    const reply = await this.send("POST", `/answer/${task}`, text);
    if (reply.ok) this.release(task);
    this.report(reply.ok ? "saved" : reply.again ? "trying" : "refused", reply.ok ? "" : reply.words);
    return reply;
  }
  leave() {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": this.csrf };
    for (const [task, body] of this.waiting) fetch(`${this.base}/draft/${task}`, { method: "PUT", headers, body, keepalive: true }).catch(() => {});
  }
}

const wordsOf = (data) => {
  const said = data && (data.error || data.detail || data.message);
  return typeof said === "string" ? said : said && typeof said.message === "string" ? said.message : "";
};
