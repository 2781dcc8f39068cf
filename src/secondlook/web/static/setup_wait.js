// Waits for a job; then the same page says what became of it.
import { watch } from "./request.js";

const box = document.querySelector("[data-job]");
const words = box.querySelector("[data-words]");
const bar = box.querySelector("[data-progress]");
const show = (job) => {
  if (job.words) words.textContent = job.words;
  if (job.total) { bar.max = job.total; bar.value = job.done; }
};
watch(box.dataset.job, show, 400).catch(() => {}).finally(() => location.reload());
