"""What a site knows of itself: the threshold that its own visitors want; and what its machines tell each other."""
