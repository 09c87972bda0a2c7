"""What each tool does, one file each; `toolbox` finds the one that an action names."""
