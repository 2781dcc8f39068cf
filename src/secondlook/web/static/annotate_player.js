// The clip: it loops without sound, plays, steps frame by frame, changes speed. Of two <video>s one is seen and the other
// holds the next clip, so that the switch is instant.
export class Player {
  constructor(root, say) {
    this.root = root;
    this.say = say;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    [this.video, this.spare] = root.querySelectorAll("video");
    this.play = root.querySelector("[data-play]");
    this.place = root.querySelector("[data-place]");
    this.time = root.querySelector("[data-time]");
    this.speed = root.querySelector("[data-speed]");
    this.broken = root.querySelector("[data-broken]");
    this.making = root.querySelector("[data-making]");
    this.again = new Set();
    this.frame = null;
    for (const video of [this.video, this.spare]) this.watch(video);
    this.play.addEventListener("click", () => this.toggle());
    for (const button of root.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    }
    this.place.addEventListener("input", () => this.seek(Number(this.place.value) / 1000 * this.video.duration));
    this.speed.addEventListener("change", () => this.setSpeed(Number(this.speed.value)));
    root.querySelector("[data-again]").addEventListener("click", () => this.retry());
    let kept = 1;
    try { kept = Number(localStorage.getItem("secondlook:speed")) || 1; } catch { /* no storage: the speed is not kept */ }
    this.setSpeed(this.speeds().includes(kept) ? kept : 1);
  }
  speeds() { return [...this.speed.options].map((option) => Number(option.value)); }
  watch(video) {
    video.muted = true;
    video.addEventListener("click", () => this.toggle());
    video.addEventListener("error", () => { if (video === this.video) this.fail(); });
    video.addEventListener("loadeddata", () => { if (video === this.video) this.works(); });
    for (const name of ["play", "pause"]) video.addEventListener(name, () => { if (video === this.video) this.draw(); });
    if (video.requestVideoFrameCallback) {
      const seen = (now, about) => { this.saw(video, about.mediaTime); video.requestVideoFrameCallback(seen); };
      video.requestVideoFrameCallback(seen);
    } else {
      for (const name of ["timeupdate", "seeked"]) video.addEventListener(name, () => this.saw(video, video.currentTime));
    }
  }
  saw(video, time_s) {
    if (video !== this.video) return;
    this.shown_s = time_s;
    this.draw();
  }
  show(url, timesUrl) {
    this.times = null;
    this.timesUrl = timesUrl;
    this.frame = null;
    this.shown_s = 0;
    if (this.video.getAttribute("src") !== url) {
      if (this.spare.getAttribute("src") === url) [this.video, this.spare] = [this.spare, this.video];
      else this.video.src = url;
    }
    this.spare.pause();
    this.spare.hidden = true;
    this.video.hidden = false;
    this.broken.hidden = true;
    this.making.hidden = true;
    this.video.playbackRate = this.rate;
    if (this.video.error) this.fail();
    else if (this.video.readyState >= 2) this.works();
    if (!this.calm) this.start();
    this.draw();
  }
  prepare(url) {
    if (!url || this.video.getAttribute("src") === url || this.spare.getAttribute("src") === url) return;
    this.spare.hidden = true;
    this.spare.src = url;
  }
  retry() {
    const url = this.video.getAttribute("src");
    this.broken.hidden = true;
    this.video.src = url;
    this.video.load();
    if (!this.calm) this.start();
  }
  // A clip that does not load is perhaps still being made: the server says so, and it is asked for again.
  async fail() {
    const url = this.video.getAttribute("src");
    if (!url || this.asking === url) return;
    this.asking = url;
    this.video.hidden = true;
    let now = { state: "making" };
    for (let asked = 0; now.state === "making" && asked < 60; asked += 1) {
      if (asked) await new Promise((done) => { setTimeout(done, 1500); });
      if (this.video.getAttribute("src") !== url) break;
      try {
        const reply = await fetch(url.replace(/^\/media/, "/api/media").replace(/\.mp4$/, ""));
        now = reply.ok ? await reply.json() : { state: reply.status >= 500 || reply.status === 429 ? "making" : "broken" };
      } catch { now = { state: "making" }; }
      this.making.hidden = now.state !== "making";
    }
    this.asking = null;
    this.making.hidden = true;
    if (this.video.getAttribute("src") !== url) return;
    if (now.state === "ready" && !this.again.has(url)) {
      this.again.add(url);
      this.retry();
      return;
    }
    this.broken.hidden = false;
    this.say("This clip cannot be shown.");
  }
  works() {
    this.broken.hidden = true;
    this.making.hidden = true;
    this.video.hidden = false;
    this.video.playbackRate = this.rate;
    this.draw();
  }
  start() {
    this.frame = null;
    this.video.play().catch(() => this.draw());
  }
  toggle() { if (this.video.paused) this.start(); else this.video.pause(); }
  setSpeed(rate) {
    this.rate = rate;
    this.speed.value = String(rate);
    this.video.playbackRate = rate;
    try { localStorage.setItem("secondlook:speed", String(rate)); } catch { /* no storage: the speed is not kept */ }
  }
  faster(by) {
    const speeds = this.speeds().sort((a, b) => a - b);
    const at = Math.max(0, Math.min(speeds.length - 1, speeds.indexOf(this.rate) + by));
    this.setSpeed(speeds[at]);
    this.say(`Speed ${this.speed.selectedOptions[0].textContent}.`);
  }
  seek(time_s) {
    this.video.pause();
    this.frame = null;
    this.video.currentTime = time_s;
    this.shown_s = time_s;
  }
  async frameTimes() {
    const url = this.timesUrl;
    if (!this.times) {
      try {
        const reply = await fetch(url);
        const times = reply.ok ? (await reply.json()).times_s : [];
        if (url === this.timesUrl) this.times = times;
      } catch { return []; }
    }
    return this.times || [];
  }
  async step(by) {
    this.video.pause();
    const video = this.video;
    const times = await this.frameTimes();
    if (video !== this.video) return;
    if (times.length < 2) {  // The server knows no times: 25 frames a second are assumed.
      const length = video.duration || 0.04;
      video.currentTime = (video.currentTime + by * 0.04 + length) % length;
      return;
    }
    let at = this.frame;
    if (at === null) for (at = 0; at + 1 < times.length && times[at + 1] <= this.shown_s + 1e-4;) at += 1;
    at = (at + by + times.length) % times.length;
    const next = at + 1 < times.length ? times[at + 1] : Math.max(video.duration || 0, times[at] + 0.01);
    video.currentTime = (times[at] + next) / 2;
    this.frame = at;
    this.draw();
  }
  draw() {
    const { duration, paused } = this.video;
    const at = this.shown_s || 0;
    this.play.textContent = paused ? "Play" : "Pause";
    if (duration && document.activeElement !== this.place) this.place.value = String(Math.round(1000 * at / duration));
    const frame = paused && this.frame !== null ? `frame ${this.frame + 1} of ${this.times.length}` : "";
    this.time.textContent = frame || `${at.toFixed(2)} s`;
    this.place.setAttribute("aria-valuetext", frame || `${at.toFixed(1)} of ${(duration || 0).toFixed(1)} seconds`);
  }
}
