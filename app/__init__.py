"""The pages of `shopvl app`: Gradio widgets that show what `shopvl.service` finds."""
