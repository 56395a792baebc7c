"""A teacher for tests: /v1/chat/completions over HTTP/1.1 with keep-alive, on asyncio, standard library alone.
   teacher.py --port-file P [--latency S] [--faults RATE] [--log L] [--script FILE] [--key K] [--refuse-format F [--refuse-status N]] [--down N] [--tls PEM]
It answers from the prompt alone: the label is a function of the first word behind "id=", so that a misplaced answer shows.
With --faults, that share of requests fails in one of the ways in FAULTS, by the hash of prompt and attempt, so that a run can
be repeated. --log gets one line a request: its fault ("ok" for none), the id, the idempotency key, and
the most requests that have been open at once.
--refuse-status 500: as llama-cpp-python refuses a format it does not know; --down N: 500 to the first N requests.
--script: JSONL rules {"id","text"} with, if they matter, "seed", "model", "delay" (seconds), "finish"; the first that fits answers.
It ends by itself when its parent goes."""
import argparse
import asyncio
import hashlib
import json
import os
import ssl

FAULTS = ["429-after", "429", "500", "reset", "drip", "not-json", "wrong-label", "prose", "huge", "empty", "two"]
LABELS = ["Positivo", "Negativo", "Neutro"]


def label_of(name):
    return LABELS[int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3]


def completion(text, prompt_tokens=10, choices=1, finish="stop"):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "choices": [choice] * choices,
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 5, "total_tokens": prompt_tokens + 5}}


class Server:
    def __init__(self, args):
        self.args, self.attempts, self.flying, self.most, self.down = args, {}, 0, 0, args.down
        self.log = open(args.log, "a", buffering=1) if args.log else None
        self.script = [json.loads(x) for x in open(args.script)] if args.script else None

    def answer(self, request):
        """What the model says: from a script (by id and seed), or reasoning and the label of the id."""
        prompt = request["messages"][-1]["content"]
        name = prompt.split("id=")[1].split()[0] if "id=" in prompt else "none"
        if self.script:
            for rule in self.script:
                if rule["id"] == name and rule.get("seed", request.get("seed")) == request.get("seed") and rule.get("model", request["model"]) == request["model"]:
                    return name, rule["text"], rule
            return name, "nothing in the script", {}
        return name, json.dumps({"raciocinio": "porque " + name, "p": label_of(name)}, ensure_ascii=False), {}

    def fault(self, body, name):
        n = self.attempts[body] = self.attempts.get(body, 0) + 1
        x = int.from_bytes(hashlib.sha256(f"{name} {n}".encode()).digest()[:8], "big")
        if x / 2**64 >= self.args.faults:
            return "ok"
        return FAULTS[(x >> 3) % len(FAULTS)]

    def note(self, *words):
        if self.log:
            self.log.write(" ".join(words) + "\n")

    async def reply(self, writer, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        writer.write((head + "".join(h + "\r\n" for h in headers) + "\r\n").encode() + data)
        await writer.drain()

    async def misbehave(self, kind, writer, name, text):
        """Whether the connection stays open."""
        if kind == "429-after":
            await self.reply(writer, 429, {"error": {"message": "slow down"}}, ["Retry-After: 1"])
        elif kind == "429":
            await self.reply(writer, 429, {"error": {"message": "slow down"}})
        elif kind == "500":
            await self.reply(writer, 500, b"oops")
        elif kind == "not-json":
            await self.reply(writer, 200, b'{"choices": [{"mess')
        elif kind == "wrong-label":
            await self.reply(writer, 200, completion('{"raciocinio": "x", "p": "Talvez"}'))
        elif kind == "prose":
            await self.reply(writer, 200, completion("I would rather not say."))
        elif kind == "empty":
            await self.reply(writer, 200, {"choices": [], "usage": None})
        elif kind == "two":
            await self.reply(writer, 200, completion(text, choices=2))
        elif kind == "huge":
            await self.reply(writer, 200, completion(text + " " * 3_000_000))
        elif kind == "reset":
            writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 500\r\n\r\n{\"choices\": [")
            await writer.drain()
            writer.transport.abort()
            return False
        elif kind == "drip":
            writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 500\r\n\r\n")
            for _ in range(40):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
            return False
        return True

    def refusal(self, request, headers):
        """Refusals that --refuse asks for."""
        if self.args.key and headers.get("authorization") != "Bearer " + self.args.key:
            return 401, {"error": {"message": "wrong key: " + headers.get("authorization", "none"), "code": "invalid_api_key"}}
        if self.args.refuse_format and request.get("response_format", {}).get("type") == self.args.refuse_format:
            message = f"response_format {self.args.refuse_format} is not supported"
            if self.args.refuse_status >= 500:
                message = f"[{{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'input': '{self.args.refuse_format}'}}]"
            return self.args.refuse_status, {"error": {"message": message, "type": "x", "code": None}}
        if self.down:
            self.down -= 1
            return 500, {"error": {"message": "the backend of response_format is away"}}
        return None

    async def one(self, reader, writer):
        line = await reader.readline()
        if not line:
            return False
        headers = {}
        while (h := await reader.readline()) not in (b"\r\n", b""):
            k, v = h.decode().split(":", 1)
            headers[k.lower()] = v.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = json.loads(body)
        refused = self.refusal(request, headers)
        if refused:
            await self.reply(writer, *refused)
            return True
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            name, text, rule = self.answer(request)
            if wait := self.args.latency + rule.get("delay", 0):
                await asyncio.sleep(wait)
            kind = self.fault(body, name)
            self.note(kind, name, headers.get("idempotency-key", "-"), str(self.most))
            if kind != "ok":
                return await self.misbehave(kind, writer, name, text)
            await self.reply(writer, 200, completion(text, finish=rule.get("finish", "stop")))
            return True
        finally:
            self.flying -= 1

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        writer.close()


async def main(args):
    context = None
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.tls)
    server = Server(args)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context, backlog=512)
    with open(args.port_file + ".tmp", "w") as f:
        f.write(str(listening.sockets[0].getsockname()[1]))
    os.rename(args.port_file + ".tmp", args.port_file)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
    del listening


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--port-file", required=True)
    p.add_argument("--latency", type=float, default=0)
    p.add_argument("--faults", type=float, default=0)
    p.add_argument("--log")
    p.add_argument("--script")
    p.add_argument("--key")
    p.add_argument("--refuse-format")
    p.add_argument("--refuse-status", type=int, default=400)
    p.add_argument("--down", type=int, default=0)
    p.add_argument("--tls")
    try:
        asyncio.run(main(p.parse_args()))
    except (KeyboardInterrupt, RuntimeError):
        pass
