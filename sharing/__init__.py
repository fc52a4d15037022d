"""What a prompt in JSON would apply, and what is written about it. Pure over JSON and text."""
