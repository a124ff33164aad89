"""The log of decisions: what workers decided, cleaned of secrets, line by line; and one of them looked up again."""
