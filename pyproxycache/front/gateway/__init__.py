"""The gateway: requests for the routes that the operator names."""
