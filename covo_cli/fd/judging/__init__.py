"""What becomes of a trained student: its biases are set, and it is compared with its teacher."""
