// Requests to our own server: CSRF token, time limit, repeats with growing pauses, errors in words. And small page tools.

const RETRIED = new Set([429, 502, 503, 504]);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A refusal: `message` is for people; `status` is 0 where the server was not reached. */
export class RequestError extends Error {
  constructor(status, words, data = null) {
    super(words);
    this.name = "RequestError";
    this.status = status;
    this.data = data;
  }
}

export const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

/**
 * Sends a request and gives the JSON of its answer (null where there is none).
 * @param {string} method GET, POST, PUT or DELETE
 * @param {string} url on this server
 * @param {object} [options]
 * @param {*} [options.json] sent as JSON
 * @param {number} [options.retries] further tries after a failure that may pass; a POST is only repeated if asked for
 * @param {number} [options.timeoutMs]
 * @param {AbortSignal} [options.signal]
 * @param {boolean} [options.keepalive] sent even while the page is left
 * @param {(attempt: number) => void} [options.onRetry]
 */
export async function request(method, url, options = {}) {
  const { json, signal, keepalive = false, timeoutMs = 30000, onRetry } = options;
  const retries = options.retries ?? (method === "POST" ? 0 : 3);
  for (let attempt = 0; ; attempt += 1) {
    let problem;
    let waitMs = Math.min(500 * 2 ** attempt, 8000) * (0.75 + Math.random() / 2);
    try {
      return await once(method, url, json, signal, keepalive, timeoutMs);
    } catch (error) {
      if (signal?.aborted) throw error;
      problem = error;
    }
    const mayPass = problem.status === 0 || RETRIED.has(problem.status);
    if (!mayPass || attempt >= retries) throw problem;
    if (problem.data?.retryAfterS) waitMs = Math.max(waitMs, problem.data.retryAfterS * 1000);
    onRetry?.(attempt + 1);
    await pause(waitMs);
  }
}

async function once(method, url, json, signal, keepalive, timeoutMs) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf();
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const limit = new AbortController();
  const stop = () => limit.abort();
  signal?.addEventListener("abort", stop);
  const timer = setTimeout(stop, timeoutMs);
  let answer;
  let text;
  try {
    const body = json === undefined ? undefined : JSON.stringify(json);
    answer = await fetch(url, { method, headers, body, keepalive, signal: limit.signal, credentials: "same-origin" });
    text = await answer.text();
  } catch {
    throw new RequestError(0, "The server cannot be reached. Check the connection; what you gave is kept on this page.");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  let data = null;
  try { data = text ? JSON.parse(text) : null; } catch { /* an error page of something in between */ }
  if (answer.ok) return data;
  if (answer.status === 401) location.assign("/enter");
  const retryAfterS = Number(answer.headers.get("Retry-After")) || 0;
  throw new RequestError(answer.status, data?.error ?? `The server refused this (${answer.status}).`, { ...data, retryAfterS });
}

export const get = (url, options) => request("GET", url, options);
export const post = (url, json, options) => request("POST", url, { ...options, json });
export const put = (url, json, options) => request("PUT", url, { ...options, json });

/**
 * Sends a file as it is, to an address that takes one (`/api/uploads?name=...`).
 * @param {(share: number) => void} [onProgress] 0 to 1
 */
export function upload(url, file, onProgress) {
  return new Promise((done, failed) => {
    const sender = new XMLHttpRequest();
    sender.open("POST", `${url}${url.includes("?") ? "&" : "?"}name=${encodeURIComponent(file.name)}`);
    sender.setRequestHeader("X-CSRF-Token", csrf());
    sender.setRequestHeader("Content-Type", "application/octet-stream");
    sender.upload.addEventListener("progress", (e) => { if (e.lengthComputable) onProgress?.(e.loaded / e.total); });
    sender.addEventListener("error", () => failed(new RequestError(0, "The connection broke while the file was sent.")));
    sender.addEventListener("load", () => {
      let data = null;
      try { data = JSON.parse(sender.responseText); } catch { /* not ours */ }
      if (sender.status < 300) done(data);
      else failed(new RequestError(sender.status, data?.error ?? `The server refused the file (${sender.status}).`, data));
    });
    sender.send(file);
  });
}

/** Asks for a job until it has ended; gives it, or throws its words if it failed. */
export async function watch(job, onChange, everyMs = 700) {
  for (;;) {
    const now = await get(`/api/jobs/${encodeURIComponent(job)}`);
    onChange?.(now);
    if (now.state === "done") return now;
    if (now.state === "failed") throw new RequestError(500, now.words || "The job failed.", now);
    await pause(everyMs);
  }
}

/**
 * An element with attributes and children; texts stay texts, whatever they hold.
 * `on*` functions become listeners, true and false set and leave out an attribute.
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on") && typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Says something in a corner of the page: kind is "", good, warn or bad; bad stays until it is closed. */
export function say(words, kind = "", forMs = 5000) {
  const place = document.getElementById("said");
  if (!place) return;
  const close = el("button", { type: "button", class: "quiet icon", "aria-label": "Close", onclick: () => note.remove() }, "×");
  const note = el("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, el("span", {}, words), close);
  place.append(note);
  if (kind !== "bad") setTimeout(() => note.remove(), forMs);
}

/** Buttons with `data-copy="ID"` copy the value of that input. */
document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // pages without https have no clipboard
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});
