"""What a study's trials say: pure functions of its record."""
