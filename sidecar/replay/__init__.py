"""What a model, and policies, would have done to a log: counted by client and by policy, and the command that says so."""
