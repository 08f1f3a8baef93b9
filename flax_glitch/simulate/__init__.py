"""Pictures that the project makes itself."""
