"""What building, testing and measuring need and nobody installs."""
