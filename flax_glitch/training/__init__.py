"""Training: one jitted step, the loop around it, and the log of a run."""
