"""All clients by their names, in the order of the table."""

from __future__ import annotations

from http_clients import HTTP_CLIENTS
from package_clients import PACKAGE_CLIENTS

CLIENTS = {client.name: client for client in (*HTTP_CLIENTS, *PACKAGE_CLIENTS)}
