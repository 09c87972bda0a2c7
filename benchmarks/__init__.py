"""What an iteration costs, measured beside the bare bus and the bare shape in the same run."""
