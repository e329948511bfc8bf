"""What could have broken a proof: mutants; and what shows that it speaks of something: witnesses."""
