"""Jobs: work beside the conversation's loop, in lanes, and channels between threads."""
