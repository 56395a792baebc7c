#!/usr/bin/env python3
"""Teachers behind OpenAI's /v1/chat/completions on loopback, for as long as a command runs:
    serve.py MODEL ADAPTERS COMMAND...
Each folder of ADAPTERS is a model of that name: MODEL with the adapter in it. COMMAND finds the server in OPENAI_BASE_URL, and
its exit status is ours. A model is one `coador generate` on a pipe, started by its first question: records go in as questions
come and are answered together; answers come out in that order. Questions are one message of the user, taken as plain text, at
temperature 0, and must ask for json_schema: answers are held to it. Anything else is refused with status 400."""
import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading


class Refused(Exception):
    """A question that this server does not answer; the text says why."""


class Teacher:
    """One `coador generate` and the questions that wait for it, in order."""

    def __init__(self, model, adapter, schema, max_tokens, threads):
        self.schema = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")
        json.dump(schema, self.schema)
        self.schema.flush()
        self.process = subprocess.Popen(
            ["coador", "generate", "--model", model, "--adapter", adapter, "--schema", self.schema.name,
             "--max-new-tokens", str(max_tokens), "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.lock, self.waiting = threading.Lock(), queue.SimpleQueue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Hands each record that comes out to the question that has waited longest; at the end nobody is left waiting."""
        for line in self.process.stdout:
            self.waiting.get().put(json.loads(line))
        with self.lock:
            self.waiting.put(None)
            while (answer := self.waiting.get()) is not None:
                answer.put({"error": "the model's program has ended"})
            self.process.stdin = None

    def ask(self, prompt):
        answer = queue.SimpleQueue()
        with self.lock:
            if self.process.stdin is None:
                return {"error": "the model's program has ended"}
            self.waiting.put(answer)
            try:
                self.process.stdin.write(json.dumps({"prompt": prompt}) + "\n")
                self.process.stdin.flush()
            except OSError:
                pass  # it has ended: read() answers
        return answer.get()

    def end(self):
        with self.lock:
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.process.wait()
        self.schema.close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, model, adapters):
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.adapters = model, adapters
        self.names = sorted(os.listdir(adapters))
        self.threads = max(1, len(os.sched_getaffinity(0)) // len(self.names))
        self.lock, self.teachers = threading.Lock(), {}

    def teacher(self, request):
        """The one who answers such questions."""
        name, form = request.get("model"), request.get("response_format") or {}
        schema = form.get("json_schema", {}).get("schema")
        if name not in self.names:
            raise Refused(f"no model {name}: there are {', '.join(self.names)}")
        if form.get("type") != "json_schema" or schema is None:
            raise Refused("response_format must be json_schema")
        if request.get("temperature", 1) != 0:
            raise Refused("temperature must be 0")
        if not isinstance(request.get("max_tokens"), int):
            raise Refused("max_tokens must be given")
        key = name, json.dumps(schema), request["max_tokens"]
        with self.lock:
            if key not in self.teachers:
                self.teachers[key] = Teacher(self.model, os.path.join(self.adapters, name), schema, request["max_tokens"], self.threads)
            return self.teachers[key]

    def answer(self, request):
        """Status and body."""
        messages = request.get("messages")
        if not isinstance(messages, list) or len(messages) != 1 or messages[0].get("role") != "user":
            raise Refused("messages must be one message of the user")
        record = self.teacher(request).ask(messages[0]["content"])
        if record.get("error"):
            return 500, {"error": {"message": record["error"]}}
        usage = {k: record["usage"][k] for k in ("prompt_tokens", "completion_tokens")}
        choice = {"index": 0, "message": {"role": "assistant", "content": record["output"]},
                  "finish_reason": "length" if record["finish_reason"] == "length" else "stop"}
        return 200, {"id": "chatcmpl-0", "object": "chat.completion", "model": request["model"], "choices": [choice],
                     "usage": {**usage, "total_tokens": sum(usage.values())}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/chat/completions":
                return self.reply(404, {"error": {"message": f"no {self.path} here"}})
            self.reply(*self.server.answer(json.loads(body)))
        except (Refused, ValueError, KeyError, TypeError, AttributeError) as e:
            self.reply(400, {"error": {"message": str(e) or "not a chat request"}})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def main(model, adapters, *command):
    server = Server(model, adapters)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1", "no_proxy": "127.0.0.1"}
    environment.pop("OPENAI_API_KEY", None)
    child = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = child.wait()
    server.shutdown()
    for teacher in server.teachers.values():
        teacher.end()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: serve.py MODEL ADAPTERS COMMAND...")
    sys.exit(main(*sys.argv[1:]))
