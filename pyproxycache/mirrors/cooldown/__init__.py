"""Cool-down and block lists: which releases of a package clients of a mirror get."""
