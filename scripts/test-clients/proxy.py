"""Stands between a client and a server, and does to a check what its key says:

later:  appends two fields to the reply, as a later version of the module may
mute:   hands the check on, but the connection answers nothing any more
cut:    hands the check on, but closes the connection instead of the reply

usage: proxy.py PORT PORT_OF_THE_SERVER
Prints the word for each check to which this happened, on a line.
"""

import asyncio
import re
import sys

# A reply to a check with a limit of 5 in its first pair and with two pairs has six elements.
REPLY = re.compile(rb"\*6(\r\n:[01]\r\n:5\r\n)")
FIELDS = b"$5\r\nlater\r\n*1\r\n:7\r\n"
KEY = re.compile(rb"\r\n(later|mute|cut):")


def append_fields(reply):
    """The client waits for the reply, so the reply is the end of what the server has sent."""
    changed, count = REPLY.subn(rb"*8\1", reply)
    return changed + FIELDS if count else reply


async def serve(client, back, port_of_the_server):
    fate = ""
    server, there = await asyncio.open_connection("127.0.0.1", port_of_the_server)

    async def requests():
        nonlocal fate
        while chunk := await client.read(65536):
            if key := KEY.search(chunk):
                fate = key[1].decode()
                print(fate, flush=True)
            there.write(chunk)
        there.close()

    async def replies():
        while chunk := await server.read(65536):
            if fate == "cut":
                break
            if fate != "mute":
                back.write(append_fields(chunk) if fate == "later" else chunk)
        back.close()

    await asyncio.gather(requests(), replies(), return_exceptions=True)


async def main(port, port_of_the_server):
    def accept(client, back):
        return serve(client, back, port_of_the_server)

    await (await asyncio.start_server(accept, "127.0.0.1", port)).serve_forever()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
