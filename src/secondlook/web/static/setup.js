// New campaign: tables are sent as they are; what a campaign will cost is said while it is typed.
import { say, upload } from "./request.js";

const sending = document.querySelector("[data-sending]");
if (sending) {
  const file = sending.querySelector("[data-file]");
  const bar = sending.querySelector("[data-progress]");
  const button = sending.querySelector("[data-send]");
  button.addEventListener("click", async () => {
    if (!file.files.length) { file.click(); return; }
    button.disabled = true;
    bar.hidden = false;
    try {
      for (const one of file.files) await upload("/api/uploads", one, (share) => { bar.value = share; });
      location.assign("/setup");
    } catch (error) {
      say(error.message, "bad");
      button.disabled = false;
      bar.hidden = true;
    }
  });
}

const asking = document.querySelector("[data-ask]");
if (asking) {
  const place = document.querySelector("[data-estimate]");
  const videos = Number(asking.dataset.videos);
  const show = () => {
    const votes = Number(asking.elements.votes.value);
    const reward = Number(asking.elements.reward.value);
    if (!(votes >= 1) || !(reward >= 0)) { place.textContent = ""; return; }
    const cost = (videos * votes * reward).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    place.textContent = `${videos * votes} answers to ${videos} videos, about ${cost} ${asking.elements.currency.value}`;
  };
  asking.addEventListener("input", show);
}

for (const form of document.querySelectorAll("[data-choose], [data-ask]")) {
  form.addEventListener("submit", () => { form.querySelector("button.primary").setAttribute("aria-busy", "true"); });
}
addEventListener("pageshow", () => { for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy"); });
