"""One file = one late temporal head: `build(channels, frames, num_classes)`, features_BCTHW -> logits_BK."""
