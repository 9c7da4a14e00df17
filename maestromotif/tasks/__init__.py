"""What a task asks for and when it is achieved."""
