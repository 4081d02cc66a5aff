"""A server of Apache's Python library: `server.py --label L TRANSPORT:PROTOCOL[:multiplexed][@PORT]...`

It prints one line with all ports, and then one for each call of `slow` when it begins.
"""

import json
import socket
import sys
import threading
import time
from collections import Counter

from thrift.server.TServer import TThreadedServer
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.TSocket import TServerSocket

from common import TRANSPORTS, protocol_factory
from probe import Probe, Twin
from probe.ttypes import Refused


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Handler:
    def __init__(self, label):
        self.name = label
        self.tokens = Counter()

    def label(self):
        return self.name

    def echo(self, value):
        return value

    echoText = echoNumber = echoRatio = echoRecord = echoWords = echoCounts = echoFlags = echo

    def nothing(self):
        pass

    def produce(self, size):
        return "x" * size

    def measure(self, text):
        return len(text.encode())

    def refuse(self, code):
        raise Refused(code, f"{self.name} refuses")

    def fail(self, why):
        raise RuntimeError(why)

    def failAt(self, label):
        if label == self.name:
            self.fail(f"{label} fails")
        return self.name

    def slow(self, delay):
        say({"slow": delay})
        time.sleep(delay / 1000)
        return self.name

    def fire(self, token):
        self.tokens[token] += 1

    count = fire

    def fired(self, token):
        return self.tokens[token]


class TwinHandler:
    def __init__(self, label):
        self.name = label

    def label(self):
        return f"{self.name}-twin"

    def twice(self, text):
        return text + text


class Listener(TServerSocket):
    """Bound before the server starts, so that its port is known."""

    def __init__(self, port):
        super().__init__("127.0.0.1", port, socket_family=socket.AF_INET)
        self.listen()

    def listen(self):
        if self.handle is None:
            super().listen()

    def bound(self):
        return self.handle.getsockname()[1]


def serve(spec, handler):
    form, _, port = spec.partition("@")
    transport, protocol, *multiplexed = form.split(":")
    processor = Probe.Processor(handler)
    if multiplexed:
        plain, processor = processor, TMultiplexedProcessor()
        processor.registerProcessor("Probe", plain)
        processor.registerProcessor("Twin", Twin.Processor(TwinHandler(handler.name)))
    listener = Listener(int(port or 0))
    server = TThreadedServer(
        processor,
        listener,
        TRANSPORTS[transport](),
        protocol_factory(transport, protocol),
        daemon=True,
    )
    threading.Thread(target=server.serve).start()
    return form, listener.bound()


def main():
    _, option, label, *specs = sys.argv
    assert option == "--label", __doc__
    handler = Handler(label)
    say({"ports": dict(serve(spec, handler) for spec in specs or ["framed:binary@9090"])})


main()
