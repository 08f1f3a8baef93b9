"""From strain to picture: files, public data, Q-transform, drawing."""
