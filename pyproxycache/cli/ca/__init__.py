"""The commands of the certificate authority."""
