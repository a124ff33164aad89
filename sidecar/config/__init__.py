"""What the owner says: xbot.toml, its lists, and the image of policies made from them. It knows nothing of processes."""
