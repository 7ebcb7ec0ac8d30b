"""Values as text for people: numbers, sentences and colours."""
