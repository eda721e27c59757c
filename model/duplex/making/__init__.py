"""Making a full-duplex network of a half-duplex one: the teacher's answers, and what the student
starts from."""
