"""What the sidecar lends to hosts of other users, such as nginx's module: memory, over a socket."""
