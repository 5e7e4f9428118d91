"""The shape collections that people have, each read by one small file."""
