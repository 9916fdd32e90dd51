"""`lmservice verify-drain`: a stop under load, and what it lost."""
