"""What else there is, doing the same work in the same run."""
