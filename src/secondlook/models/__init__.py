"""One file = one family: `CARDS` and `build(variant, num_classes, head, **options)`, x_BCTHW -> logits_BK."""
