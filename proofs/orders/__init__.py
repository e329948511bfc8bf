"""Which stores and loads must stay in order, on which memory: searched, recorded, and held against C11."""
