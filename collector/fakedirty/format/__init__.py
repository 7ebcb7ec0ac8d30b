"""Values as text for people: numbers, sentences, colours, and text from outside made harmless."""
