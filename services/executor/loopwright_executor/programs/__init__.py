"""Programs that run inside the sandbox, each as a file of its own; they import nothing of ours."""
