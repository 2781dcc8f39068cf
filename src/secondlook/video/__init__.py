"""A file on disk becomes a clip with times: decode, sample, transform, augment, cache, prepare."""
