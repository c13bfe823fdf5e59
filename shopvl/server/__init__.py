"""Models behind HTTP, and as tools of an agent."""
