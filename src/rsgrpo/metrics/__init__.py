"""What is logged of an iteration: each metric is a function `StepReport -> {name: number}`, one subject a file."""
