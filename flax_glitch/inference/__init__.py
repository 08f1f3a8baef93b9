"""Inference: from pictures to verdicts, and verdicts as JSON, CSV and text."""
