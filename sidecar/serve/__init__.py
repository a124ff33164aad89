"""The processes of `xbot serve`: the master, its workers, and what they say to each other."""
