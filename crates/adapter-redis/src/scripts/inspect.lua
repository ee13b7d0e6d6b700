return seen
