"""How a goal is made and shown: atoms, goals, walks, the solver, hints, all cores."""
