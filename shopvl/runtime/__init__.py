"""The machine: bfloat16 support, memory, prefetching, and a patch of one library."""
