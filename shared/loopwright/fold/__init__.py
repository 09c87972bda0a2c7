"""The parts of the fold, one idea each; `loopwright.loop` puts them together. Pure."""
