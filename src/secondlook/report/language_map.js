// Labels as dots near their neighbours, and the cosine of every pair. Texts of labels are only ever set as text.
const labelMap = document.querySelector("[data-labelmap]");
if (labelMap) {
  const sets = JSON.parse(document.getElementById("language-data").textContent);
  const part = (name) => labelMap.querySelector(`[data-${name}]`);
  const svg = part("map"), canvas = part("cosines"), find = part("find"), groups = part("group");
  const NAMES = { index: "by index", group: "by coarse group", cluster: "by cluster" };
  const VIRIDIS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
    .map((hex) => hex.match(/../g).map((pair) => parseInt(pair, 16)));
  const make = (name, attributes = {}, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  };
  const fold = (text) => text.toLowerCase();
  for (const set of sets) {
    const bytes = Uint8Array.from(atob(set.cosines), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer), count = set.labels.length;
    set.cosine = (i, j) => {
      if (i === j) return 1;
      if (i > j) [i, j] = [j, i];
      return view.getInt16(2 * (i * count - (i * (i + 1)) / 2 + j - i - 1), true) / set.steps;
    };
    set.lowest = 1;
    for (let i = 0; i < count; i++) for (let j = i + 1; j < count; j++) set.lowest = Math.min(set.lowest, set.cosine(i, j));
    set.near = (i) => set.labels.map((_, j) => j).filter((j) => j !== i).sort((a, b) => set.cosine(i, b) - set.cosine(i, a) || a - b);
  }
  const options = (select, values) => select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
  const WHOLE = { x: -30, y: -30, size: 1060 };
  let set, chosen = -1, dots = [], names = [], view = { ...WHOLE }, order = [], cell = [0, 0], near = [];

  // Neighbours in the list of groups get colours far from each other.
  const colour = (group) => (group < 0 ? "var(--dim)" : `hsl(${(group * 137.5) % 360} 62% var(--dot))`);
  const say = (node, ...texts) => node.replaceChildren(...texts);

  function open(index) {
    set = sets[index];
    options(groups, [["", set.groups.length ? "all" : "none"], ...set.groups.map((name, i) => [i, name])]);
    groups.disabled = !set.groups.length;
    options(part("order"), Object.keys(set.orders).map((name) => [name, NAMES[name]]));
    const lines = make("g", { class: "lines" });
    dots = set.places.map(([x, y], i) => {
      const dot = make("circle", { cx: x, cy: 1000 - y, class: "dot" });
      dot.style.fill = colour(set.group[i]);
      dot.dataset.label = i;
      return dot;
    });
    names = set.places.map(([x, y], i) => make("text", { x, y: 1000 - y, "aria-hidden": "true" }, set.labels[i]));
    svg.replaceChildren(lines, ...dots, ...names);
    svg.lines = lines;
    chosen = -1;
    cell = [0, 0];
    say(part("name"), "No label chosen");
    say(part("about"), `${set.labels.length} labels${set.groups.length ? ` in ${set.groups.length} groups` : ""}.`);
    part("near").replaceChildren();
    zoom(WHOLE);
    paint();
  }

  function zoom(to) {
    const size = Math.min(1060, Math.max(60, to.size));
    const clamp = (value) => Math.min(Math.max(value, -30), 1030 - size);
    view = { size, x: clamp(to.x), y: clamp(to.y) };
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.size} ${view.size}`);
    dress();
  }
  const zoomAt = (factor, x, y) => {
    const size = Math.min(1060, Math.max(60, view.size * factor)), by = size / view.size;
    zoom({ size, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
  };

  // Sizes are of the screen, whatever the zoom. A name is shown where it does not lie on another one.
  function dress() {
    const unit = view.size / (svg.clientWidth || 600), letter = 12 * unit;
    const words = fold(find.value).split(/\s+/).filter(Boolean), group = groups.value;
    const hit = set.labels.map((text, i) => words.every((w) => fold(text).includes(w)) && (group === "" || set.group[i] === +group));
    const asked = words.length > 0 || group !== "", count = hit.filter(Boolean).length;
    say(part("found"), asked ? `${count} of ${set.labels.length} labels` : "");
    near = chosen < 0 ? [] : set.near(chosen).slice(0, 10);
    const taken = [];
    const first = [chosen, ...near.slice(0, 5), ...hit.map((h, i) => (asked && h ? i : -1)), ...set.labels.keys()];
    const shown = new Set();
    for (const i of new Set(first.filter((i) => i >= 0))) {
      const [x, up] = set.places[i], y = 1000 - up, width = set.labels[i].length * letter * (i === chosen ? 0.65 : 0.57);
      if (x < view.x || y < view.y || x > view.x + view.size || y > view.y + view.size) continue;
      const gap = (i === chosen ? 10 : 7) * unit, right = view.x + view.size - 4 * unit, start = view.x + 4 * unit;
      let from = x + gap, middle = y;
      if (from + width > right) from = x - gap - width;
      if (from < start) { // no room on either side: above the dot, or below it
        from = Math.max(start, Math.min(x - width / 2, right - width));
        middle = y - 14 * unit < view.y + letter ? y + 14 * unit : y - 14 * unit;
      }
      const box = [from, middle - letter * 0.6, from + width, middle + letter * 0.6];
      const wanted = i === chosen || (!asked && chosen < 0) || near.indexOf(i) >= 0 || (asked && hit[i]) || view.size < 500;
      if (!wanted || (i !== chosen && taken.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3]))) continue;
      taken.push(box);
      shown.add(i);
      names[i].setAttribute("x", from);
      names[i].setAttribute("y", middle);
      names[i].setAttribute("dy", letter * 0.35);
      names[i].style.fontSize = `${letter}px`;
      names[i].style.strokeWidth = `${3 * unit}px`;
    }
    for (let i = 0; i < dots.length; i++) {
      names[i].style.display = shown.has(i) ? "" : "none";
      names[i].classList.toggle("chosen", i === chosen);
      dots[i].classList.toggle("chosen", i === chosen);
      dots[i].classList.toggle("faint", asked && !hit[i] && i !== chosen);
      dots[i].setAttribute("r", (i === chosen ? 7 : asked && hit[i] ? 6 : 4.5) * unit);
      dots[i].style.strokeWidth = `${1.2 * unit}px`;
    }
    const [x, y] = chosen < 0 ? [0, 0] : set.places[chosen];
    svg.lines.replaceChildren(...near.slice(0, 5).map((j) => make("line", { x1: x, y1: 1000 - y, x2: set.places[j][0], y2: 1000 - set.places[j][1], "stroke-width": unit })));
  }

  function choose(i, follow = false) {
    chosen = i;
    if (i < 0) return dress();
    const [x, up] = set.places[i], y = 1000 - up;
    const outside = x < view.x || y < view.y || x > view.x + view.size || y > view.y + view.size;
    if (follow && outside) zoom({ size: view.size, x: x - view.size / 2, y: y - view.size / 2 });
    else dress();
    say(part("name"), set.labels[i]);
    say(part("about"), `Index ${i}${set.group[i] < 0 ? "" : ` · ${set.groups[set.group[i]]}`}. Nearest labels:`);
    part("near").replaceChildren(...near.map((j) => {
      const item = document.createElement("li"), button = document.createElement("button"), number = document.createElement("b");
      button.type = "button";
      button.style.setProperty("--group", colour(set.group[j]));
      number.textContent = set.cosine(i, j).toFixed(2);
      button.append(number, document.createTextNode(set.labels[j]));
      button.addEventListener("click", () => choose(j, true));
      item.append(button);
      return item;
    }));
    svg.setAttribute("aria-label", `Map of the labels. ${set.labels[i]}. Arrow keys go to the next label in that direction; plus and minus zoom.`);
  }

  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return [view.x + ((event.clientX - box.x) / box.width) * view.size, view.y + ((event.clientY - box.y) / box.height) * view.size];
  };
  const nearestDot = (event, reach) => {
    const [x, y] = at(event), limit = (reach * view.size) / svg.clientWidth;
    let best = -1, least = limit;
    set.places.forEach(([px, py], i) => {
      const far = Math.hypot(px - x, 1000 - py - y);
      if (far < least) [best, least] = [i, far];
    });
    return best;
  };
  const fingers = new Map();
  let moved = false;
  svg.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    if (fingers.size === 1) moved = false;
  });
  svg.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") {
        const over = nearestDot(event, 14);
        if (over >= 0 && over !== chosen) choose(over);
      }
      return;
    }
    const [ax, ay] = at(before), [bx, by] = at(event);
    if (Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) < 4 && !moved) return;
    moved = true;
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const gap = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
      zoomAt(gap(before, other) / gap(event, other), ...at(other));
    } else if (view.size < 1060) zoom({ size: view.size, x: view.x - bx + ax, y: view.y - by + ay });
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    svg.addEventListener(end, (event) => {
      if (end === "pointerup" && fingers.size === 1 && !moved) {
        const over = nearestDot(event, event.pointerType === "mouse" ? 14 : 28);
        if (over >= 0) choose(over);
      }
      fingers.delete(event.pointerId);
    });
  }
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== svg) return; // a page that is scrolled past is not zoomed
    event.preventDefault();
    zoomAt(event.deltaY > 0 ? 1.2 : 1 / 1.2, ...at(event));
  }, { passive: false });
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "+" || event.key === "-") zoomAt(event.key === "+" ? 0.7 : 1.4, view.x + view.size / 2, view.y + view.size / 2);
    else if (event.key === "Escape") { choose(-1); zoom(WHOLE); }
    else if (!by) return;
    event.preventDefault();
    if (!by) return;
    if (chosen < 0) return choose(0, true);
    const [x, y] = set.places[chosen];
    let best = -1, least = Infinity;
    set.places.forEach(([px, py], i) => {
      const along = (px - x) * by[0] + (py - y) * by[1], aside = Math.abs((px - x) * by[1]) + Math.abs((py - y) * by[0]);
      const far = along + 2 * aside;
      if (along > 0 && far < least) [best, least] = [i, far];
    });
    if (best >= 0) choose(best, true);
  });

  // Cosines: one pixel a pair, drawn large; the frame around a cell lies over it.
  const shade = (value) => {
    const place = Math.max(0, (value - set.lowest) / (1 - set.lowest || 1)) * (VIRIDIS.length - 1), i = Math.min(Math.floor(place), VIRIDIS.length - 2);
    return VIRIDIS[i].map((low, c) => Math.round(low + (VIRIDIS[i + 1][c] - low) * (place - i)));
  };
  function paint() {
    const count = set.labels.length, pen = canvas.getContext("2d");
    order = set.orders[part("order").value];
    canvas.width = canvas.height = count;
    const image = pen.createImageData(count, count);
    for (let r = 0; r < count; r++) {
      for (let c = 0; c < count; c++) image.data.set([...shade(set.cosine(order[r], order[c])), 255], 4 * (r * count + c));
    }
    pen.putImageData(image, 0, 0);
    say(part("low"), set.lowest.toFixed(2));
    const scale = part("scale").getContext("2d"), strip = scale.createImageData(256, 1);
    for (let c = 0; c < 256; c++) strip.data.set([...shade(set.lowest + (c / 255) * (1 - set.lowest)), 255], 4 * c);
    scale.putImageData(strip, 0, 0);
    say(part("pair"), "Point at a cell for its two labels.");
  }
  function point(row, column) {
    const last = set.labels.length - 1;
    cell = [Math.min(Math.max(row, 0), last), Math.min(Math.max(column, 0), last)];
    const [i, j] = cell.map((place) => order[place]), number = document.createElement("b");
    number.textContent = set.cosine(i, j).toFixed(3);
    const lines = [i, j].map((label) => {
      const line = document.createElement("span");
      line.textContent = `${label} · ${set.labels[label]}`;
      return line;
    });
    say(part("pair"), number, ...lines);
  }
  const pointAt = (event) => {
    const box = canvas.getBoundingClientRect(), count = set.labels.length;
    point(Math.floor(((event.clientY - box.y) / box.height) * count), Math.floor(((event.clientX - box.x) / box.width) * count));
  };
  canvas.addEventListener("pointermove", pointAt);
  canvas.addEventListener("pointerdown", pointAt);
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    point(cell[0] + by[0], cell[1] + by[1]);
  });

  options(part("set"), sets.map((one, i) => [i, one.title]));
  part("set").disabled = sets.length < 2;
  part("set").addEventListener("change", (event) => open(+event.target.value));
  part("order").addEventListener("change", paint);
  find.addEventListener("input", dress);
  groups.addEventListener("change", dress);
  part("reset").addEventListener("click", () => { find.value = ""; groups.value = ""; choose(-1); zoom(WHOLE); });
  new ResizeObserver(dress).observe(svg);
  open(0);
}
