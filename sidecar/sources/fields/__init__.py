"""Lines as fields with names: by a pattern, a line of names, or an object of JSON; and what the fields say of a request."""
