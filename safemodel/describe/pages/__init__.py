"""What people are shown of a model: pages as values, and how they are written for terminals and browsers."""
