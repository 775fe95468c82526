"""Worker processes that may hang, crash or be killed, and cost one answer when they do."""
