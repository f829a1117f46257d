"""The class: a leaderboard and an autograder."""
