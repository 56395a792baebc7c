"""How fast a test server answers without distill-label: load.py PORT REQUESTS CONCURRENCY prints seconds.
Keep-alive connections, one request after the other on each, standard library alone."""
import asyncio
import json
import sys
import time


async def worker(port, jobs):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in jobs:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"id=load{i} x"}]}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        n = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(n)
    writer.close()


async def main(port, n, c):
    jobs = iter(range(n))
    t = time.monotonic()
    await asyncio.gather(*(worker(port, jobs) for _ in range(c)))
    print(f"{time.monotonic() - t:.2f}")


asyncio.run(main(*map(int, sys.argv[1:4])))
