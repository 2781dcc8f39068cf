// The list of failed tasks: tick all or none.
const button = document.querySelector("[data-tick]");
if (button) {
  const ticks = [...document.querySelectorAll('input[name="task"]')];
  const name = () => { button.textContent = ticks.some((tick) => tick.checked) ? "Tick none" : "Tick all"; };
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    const to = !ticks.some((tick) => tick.checked);
    for (const tick of ticks) tick.checked = to;
    name();
  });
  for (const tick of ticks) tick.addEventListener("change", name);
}
