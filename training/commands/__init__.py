"""The commands `xbot train` and `xbot features`."""
