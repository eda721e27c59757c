"""One session of GPT-Live: sound without pause in both directions, and words on a time line."""
