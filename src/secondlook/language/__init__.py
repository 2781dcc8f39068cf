"""Label texts as vectors: how near two labels are in words, and which mistakes are near misses."""
