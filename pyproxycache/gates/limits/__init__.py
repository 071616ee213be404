"""How many requests pass in a time: rules, counters, and the gate that asks both."""
