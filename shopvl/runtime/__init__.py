"""What the machine does: number formats, memory, reading ahead, and a library that needs mending."""
