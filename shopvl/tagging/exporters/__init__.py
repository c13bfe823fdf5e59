"""Forms that tags are exported in: a module a form, named as people name it after `--format`."""
