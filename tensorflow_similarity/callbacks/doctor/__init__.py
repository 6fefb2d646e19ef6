"""The measurements of `TrainingDoctor`, and the checks it makes on them."""
