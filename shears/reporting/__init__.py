"""The score report and the submission."""
