"""How good the answers are: metrics, the evaluation of a data set, and the report about it."""
