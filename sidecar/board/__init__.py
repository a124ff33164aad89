"""The board: what is served and what is counted, in files that other processes find, or in memory that only workers share."""
