"""From a checkpoint and pictures or strain to verdicts whose probabilities mean what they say."""
