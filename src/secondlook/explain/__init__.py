"""One file = one method: `explain(model, card, clip, label, **options)` -> HeatMap."""
