"""Release gates: which releases clients get, whatever way they ask by."""
