"""The browser app: one page with a tab to classify a picture, one for many, and a guide."""
