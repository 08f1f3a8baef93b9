"""The browser app: one page with tabs for a picture, many, strain, the classes, the model."""
