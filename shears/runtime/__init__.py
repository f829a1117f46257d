"""What every part stands on: TensorFlow, devices, files, locks, errors and logs."""
