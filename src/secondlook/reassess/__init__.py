"""One file = one aggregator: `fit(answers, **options)` -> label sets with the rule that made each."""
