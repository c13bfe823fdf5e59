"""What the app does, without its widgets."""
