"""Many runs together: grids, their comparison, the gate before a release, models to promote and to serve."""
