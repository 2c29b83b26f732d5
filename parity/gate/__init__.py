"""Two runs in, one answer out: whose bits moved, which divergences are new, and whether a merge may go on."""
