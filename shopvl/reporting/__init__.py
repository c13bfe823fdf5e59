"""Pages to look at: one HTML file each, with tables, charts and pictures inside."""
