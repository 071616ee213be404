"""An echo by WebSocket in TLS, run by the Python that has the library: echo.py CERTIFICATE-AND-KEY."""

import asyncio
import ssl
import sys

import websockets


async def echo(connection):  # type: ignore[no-untyped-def]
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    async with websockets.serve(echo, "127.0.0.1", 0, ssl=context) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
