"""What an objective does in expectation, by exact enumeration: no sampling, no policy network, no tolerance."""
