"""The client's end of the protocol that tests/interop/remote.py describes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Command = Callable[..., Awaitable[dict[str, Any]]]


def say(**fields: Any) -> None:
    """Write one object to the test."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def _carry_out(command: Command, number: int, arguments: dict[str, Any]) -> None:
    try:
        say(call=number, result=await command(**arguments))
    except Exception as error:
        say(call=number, error=f"{type(error).__name__}: {error}")


async def obey(client: Any) -> None:
    """Call ``client.do_NAME(...)`` for each line of the standard input, side by side, until all are done."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        arguments = json.loads(line)
        number, name = arguments.pop("call"), arguments.pop("do")
        task = loop.create_task(_carry_out(getattr(client, f"do_{name}"), number, arguments))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
