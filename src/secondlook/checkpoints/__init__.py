"""One file = one code base's names for its weights, and what they are called here."""
