"""Judge conversations: what happened against what would have been right."""
