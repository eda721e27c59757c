"""Chat models behind an address: what they are asked, what they answer, and how they refuse."""
