"""What is measured of a policy's samples: pure functions of counts, rewards and answers, one subject per file."""
