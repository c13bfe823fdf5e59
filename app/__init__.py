"""The merchandiser's app: Gradio pages over `shopvl.tasks.workbench`. Widgets only; everything they do is in shopvl."""
