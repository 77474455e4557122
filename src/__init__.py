"""What makes a language model refuse a harmless request, and how sure are we."""
