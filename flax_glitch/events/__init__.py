"""From a question (an event, a time, a table of triggers) to what strain shows of it."""
