"""What lies below a root, read without PyTorch."""
