"""Effects under kills: what must not happen twice does not, whoever dies in the middle."""
