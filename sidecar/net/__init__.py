"""The connections of a worker: bytes of sockets to the binding, and its replies back."""
