"""What everything costs: operators, engines, whole phases, and what a GPU may make of them."""
