"""SWATS: Adam, until the step it takes can be had by plain gradient descent; then SGD with momentum at that rate.

Keskar and Socher, "Improving Generalization Performance by Switching from Adam to SGD", 2017, algorithm 1. With the
step p and the gradient g of all parameters together, the rate that SGD would need is `gamma = p.p / (-p.g)`. When its
running mean `lambda / (1 - beta2^k)` comes within a tolerance of it, the rate is that mean from then on, and each step
is `(1 - beta1) Lambda v` with `v = beta1 v + g`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from secondlook.errors import BadValue


class Swats(torch.optim.Optimizer):
    """Adam that becomes SGD once.

    Where it stands is kept in the parameter groups (`switched`, `rate`, `steps`, ...), so that a state dict holds it.
    A schedule that changes the learning rate after the switch scales Lambda likewise. Departs from the paper in nothing
    but that weight decay is added to the gradient, as in `torch.optim.Adam`.

    Args:
        params: parameters or groups of them.
        lr: of Adam.
        betas: of Adam; `beta1` is the momentum of SGD as well.
        eps: of Adam.
        weight_decay: w of `g + w p`.
        tolerance: of the switch; the paper's 1e-9 is seldom met within a short training.

    Raises:
        BadValue: for a tolerance that is not positive.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        tolerance: float = 1e-9,
    ) -> None:
        if not tolerance > 0:
            raise BadValue(tolerance, "the tolerance of the switch must be positive", "The paper has 1e-9.")
        start = {"steps": 0, "mean": 0.0, "rate": 0.0, "switched": 0, "lr_at_switch": lr}
        fixed = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "tolerance": tolerance}
        super().__init__(params, {**fixed, **start})

    @property
    def switched(self) -> bool:
        """Whether it is SGD by now."""
        return bool(self.param_groups[0]["switched"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; gives what the closure gives."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.switched:
            self._descend()
        else:
            self._adam()
        return loss

    def _gradients(self) -> list[tuple[dict[str, Any], Tensor, Tensor]]:
        found = []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    found.append((group, p, p.grad.add(p, alpha=group["weight_decay"])))
        return found

    def _adam(self) -> None:
        first = self.param_groups[0]
        steps = first["steps"] + 1
        step_step, step_gradient = 0.0, 0.0
        for group, p, gradient in self._gradients():
            beta1, beta2 = group["betas"]
            state = self.state[p]
            if not state:
                state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["mean"].lerp_(gradient, 1 - beta1)
            state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            spread = (state["square"] / (1 - beta2**steps)).sqrt_().add_(group["eps"])
            move = state["mean"] / spread * (-group["lr"] / (1 - beta1**steps))
            p.add_(move)
            step_step += float(move.double().square().sum())
            step_gradient += float((move.double() * gradient).sum())
        for group in self.param_groups:
            group["steps"] = steps
        if step_gradient != 0.0:
            self._watch(steps, -step_step / step_gradient)

    def _watch(self, steps: int, gamma: float) -> None:
        """Keeps the running mean of gamma, and switches where the two agree."""
        first = self.param_groups[0]
        beta2 = first["betas"][1]
        mean = beta2 * first["mean"] + (1 - beta2) * gamma
        rate = mean / (1 - beta2**steps)
        switches = steps > 1 and rate > 0 and abs(rate - gamma) < first["tolerance"]
        for group in self.param_groups:
            group["mean"] = mean
            if switches:
                group["switched"], group["rate"], group["lr_at_switch"] = 1, rate, group["lr"]
        if switches:
            for state in self.state.values():
                state.clear()

    def _descend(self) -> None:
        for group, p, gradient in self._gradients():
            beta1 = group["betas"][0]
            state = self.state[p]
            if "velocity" not in state:
                state["velocity"] = torch.zeros_like(p)
            state["velocity"].mul_(beta1).add_(gradient)
            scale = group["lr"] / group["lr_at_switch"] if group["lr_at_switch"] else 1.0
            p.add_(state["velocity"], alpha=-(1 - beta1) * group["rate"] * scale)
