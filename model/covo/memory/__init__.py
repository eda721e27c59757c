"""What a network will take: memory, parameters, operations."""
