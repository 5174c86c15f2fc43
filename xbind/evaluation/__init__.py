"""What is measured of finished runs, by judges that took no part in making them."""
