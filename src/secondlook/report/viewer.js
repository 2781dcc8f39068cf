// The viewer: a clip plays with heat over it, and bars of the heat a frame that scrub it. One or two panes share a time.
const viewer = document.querySelector("[data-viewer]");
if (viewer) {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const KEYS = ["model", "method", "layer", "class"];
  const colours = Object.fromEntries(Object.entries(data.colours).map(([name, hex]) => [
    name, Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16)),
  ]));
  const within = (root, selector) => root.querySelector(selector);
  const fill = (select, values, wanted) => {
    select.replaceChildren(...values.map((value, i) => new Option(value.text ?? value, value.value ?? value, false, i === 0)));
    if ([...select.options].some((option) => option.value === wanted)) select.value = wanted;
    select.disabled = values.length < 2;
  };
  const nearest = (times, time) => {
    let best = 0;
    for (let i = 1; i < times.length; i++) if (Math.abs(times[i] - time) < Math.abs(times[best] - time)) best = i;
    return best;
  };
  const opacity = within(viewer, "[data-opacity]");
  const reading = getComputedStyle(document.documentElement);

  class Pane {
    constructor(root) {
      this.root = root;
      this.video = within(root, "video");
      this.heat = within(root, "[data-heat]");
      this.bars = within(root, "[data-bars]");
      this.selects = Object.fromEntries(KEYS.map((key) => [key, within(root, `[data-pick="${key}"]`)]));
      for (const select of Object.values(this.selects)) select.addEventListener("change", () => this.choose());
      this.bars.addEventListener("pointerdown", (event) => { this.bars.setPointerCapture(event.pointerId); this.scrub(event); });
      this.bars.addEventListener("pointermove", (event) => { if (event.buttons) this.scrub(event); });
      this.bars.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
        if (by) { event.preventDefault(); step(by); }
      });
    }
    show(clip) {
      this.clip = clip;
      if (this.video.src !== clip.film) this.video.src = clip.film;
      this.choose();
    }
    choose() {
      let left = this.clip.maps;
      for (const key of KEYS) {
        const select = this.selects[key];
        fill(select, [...new Set(left.map((map) => map[key]))], select.value);
        left = left.filter((map) => map[key] === select.value);
      }
      this.map = left[0];
      this.levels = null;
      const picture = new Image();
      picture.onload = () => {
        const scratch = new OffscreenCanvas(picture.width, picture.height).getContext("2d", { willReadFrequently: true });
        scratch.drawImage(picture, 0, 0);
        this.levels = scratch.getImageData(0, 0, picture.width, picture.height).data;
        this.columns = picture.width;
        this.heat.width = picture.width;
        this.heat.height = this.map.rows;
        this.at = -1;
        this.draw();
      };
      picture.src = this.map.picture;
      const { signed, temporal } = this.map;
      within(this.root, "[data-key]").textContent = (temporal
        ? "This method speaks of time alone: frames that count less are dimmed."
        : signed ? "Red spoke for the class, blue against it." : "Brighter spoke more for the class.")
        + (this.map.predicted ? ` Predicted: ${this.map.predicted}.` : "");
    }
    draw() {
      if (!this.levels || this.root.hidden) return;
      const at = nearest(this.map.times_s, this.video.currentTime);
      const strength = opacity.value / 100;
      if (at !== this.at || strength !== this.strength) this.paint(at, strength);
      this.at = at;
      this.strength = strength;
      this.chart(at);
    }
    paint(at, strength) {
      const { rows, signed, temporal } = this.map;
      const brush = this.heat.getContext("2d");
      const image = brush.createImageData(this.columns, rows);
      const ramp = colours[signed ? "RdBu_r" : "inferno"];
      const start = at * rows * this.columns * 4;
      for (let i = 0; i < rows * this.columns; i++) {
        const level = this.levels[start + 4 * i];
        const amount = signed ? Math.min(1, Math.abs(level - 128) / 127) : level / 255;
        if (temporal) {
          image.data[4 * i + 3] = 255 * strength * (1 - amount);
        } else {
          for (let c = 0; c < 3; c++) image.data[4 * i + c] = ramp[3 * level + c];
          image.data[4 * i + 3] = 255 * strength * (signed ? Math.sqrt(amount) : amount);
        }
      }
      brush.putImageData(image, 0, 0);
    }
    chart(at) {
      const canvas = this.bars, ratio = devicePixelRatio || 1;
      const width = canvas.clientWidth, height = canvas.clientHeight;
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const brush = canvas.getContext("2d");
      brush.scale(ratio, ratio);
      const { bars, times_s, signed } = this.map;
      const zero = signed ? height / 2 : height - 2;
      const room = signed ? height / 2 - 2 : height - 4;
      const slot = width / bars.length;
      bars.forEach(([positive, negative], i) => {
        brush.globalAlpha = i === at ? 1 : 0.55;
        brush.fillStyle = reading.getPropertyValue("--bar-for");
        brush.fillRect(i * slot + 1, zero - positive * room, Math.max(1, slot - 2), Math.max(1, positive * room));
        brush.fillStyle = reading.getPropertyValue("--bar-against");
        if (negative) brush.fillRect(i * slot + 1, zero, Math.max(1, slot - 2), -negative * room);
      });
      brush.globalAlpha = 1;
      brush.fillStyle = reading.getPropertyValue("--ink");
      brush.fillRect((at + 0.5) * slot - 1, 0, 2, height);
      canvas.setAttribute("aria-valuemax", bars.length - 1);
      canvas.setAttribute("aria-valuenow", at);
      canvas.setAttribute("aria-valuetext", `frame at ${times_s[at].toFixed(2)} seconds, ${Math.round(100 * bars[at][0])} % of the most heat`);
    }
    scrub(event) {
      const box = this.bars.getBoundingClientRect();
      const place = Math.floor((event.clientX - box.left) / box.width * this.map.bars.length);
      go(this.map.times_s[Math.max(0, Math.min(this.map.bars.length - 1, place))]);
    }
  }

  const panes = [...viewer.querySelectorAll("[data-pane]")].map((root) => new Pane(root));
  const lead = panes[0];
  const play = within(viewer, "[data-play]");
  const shown = () => panes.filter((pane) => !pane.root.hidden);
  const halt = () => { for (const pane of panes) pane.video.pause(); play.textContent = "Play"; };
  const start = () => { for (const pane of shown()) pane.video.play().catch(() => halt()); play.textContent = "Pause"; };
  const go = (time) => { halt(); for (const pane of shown()) pane.video.currentTime = time + 0.001; };
  const step = (by) => {
    const times = lead.map.times_s;
    go(times[(nearest(times, lead.video.currentTime) + by + times.length) % times.length]);
  };
  const pick = within(viewer, '[data-pick="clip"]');
  const open = () => {
    const clip = data.clips[pick.value];
    within(viewer, "[data-said]").textContent = clip.given ? `Given label: ${clip.given}` : "";
    for (const pane of panes) pane.show(clip);
    if (!calm) start(); else halt();
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  fill(pick, data.clips.map((clip, i) => ({ text: clip.id, value: String(i) })), "");
  pick.addEventListener("change", open);
  within(viewer, "[data-two]").addEventListener("change", (event) => {
    panes[1].root.hidden = !event.target.checked;
    const differs = Object.values(panes[1].selects).find((select) => select.options.length > 1);
    if (differs) differs.selectedIndex = (differs.selectedIndex + 1) % differs.options.length;
    panes[1].choose();
    go(lead.video.currentTime);
  });
  play.addEventListener("click", () => (lead.video.paused ? start() : halt()));
  for (const button of viewer.querySelectorAll("[data-step]")) button.addEventListener("click", () => step(Number(button.dataset.step)));
  within(viewer, "[data-speed]").addEventListener("change", (event) => { for (const pane of panes) pane.video.playbackRate = Number(event.target.value); });
  const time = within(viewer, "[data-time]");
  const frame = () => {
    for (const pane of shown()) pane.draw();
    time.textContent = `${lead.video.currentTime.toFixed(2)} s`;
    if (shown().length > 1 && !lead.video.paused && Math.abs(panes[1].video.currentTime - lead.video.currentTime) > 0.08) {
      panes[1].video.currentTime = lead.video.currentTime;
    }
    requestAnimationFrame(frame);
  };
  open();
  requestAnimationFrame(frame);
}
