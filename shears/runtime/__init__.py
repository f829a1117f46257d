"""What every part builds on: TensorFlow, devices, files, locks, errors and logs."""
