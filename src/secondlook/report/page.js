const choice = document.getElementById("verdicts");
if (choice) {
  choice.addEventListener("change", () => {
    for (const item of document.querySelectorAll(".clips li")) {
      item.hidden = choice.value !== "" && item.dataset.verdict !== choice.value;
    }
  });
}
// Clips play while they are on screen; nobody has to press twenty buttons. People who asked for less motion press themselves.
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) entry.target.play().catch(() => {});
      else entry.target.pause();
    }
  }, { threshold: 0.4 });
  for (const video of document.querySelectorAll("video[controls]")) watcher.observe(video);
}
