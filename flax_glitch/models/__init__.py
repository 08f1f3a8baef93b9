"""Neural networks: one architecture a file, the classifier on top of each, and official weights."""
