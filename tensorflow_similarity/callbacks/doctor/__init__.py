"""What `TrainingDoctor` looks at, and what it makes of it."""
