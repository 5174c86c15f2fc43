"""From what the user gives (words, files) to what an encoder reads."""
