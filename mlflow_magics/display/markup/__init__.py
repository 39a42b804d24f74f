"""What all that is shown is made of: text, HTML, words."""
