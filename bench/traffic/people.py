def cast(n):
    return []
