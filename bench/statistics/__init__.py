"""Statistics: pure functions of lists of floats, and intervals of ratios."""
