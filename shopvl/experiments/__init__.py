"""Many runs together: grids, their comparison, the gate before a release, and models that can be promoted and served."""
