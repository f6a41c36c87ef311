"""What is up now: phases of calls, how many there are, and what a list of sessions includes."""
