"""A room on the page: its door, and what the host, a member and the projector see of it."""
