"""Statistics: pure functions of lists of numbers. Imports nothing of this project but itself."""
