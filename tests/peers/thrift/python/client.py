"""A client of Apache's Python library. A line of standard input is a JSON object, and so is its answer:

{"port": 9090, "transport": "framed", "protocol": "binary", "service": "Twin", "calls": [["label"]]}

With `port` it connects anew; `service` makes the calls multiplexed; `pipelined` sends all before it reads.
`newer` calls as a client whose IDL has more methods.
"""

import json
import sys

from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket

from common import TRANSPORTS, protocol_factory
from probe import Newer, Probe, Twin
from probe.ttypes import Record, Refused


def connect(order):
    transport = order.get("transport", "framed")
    connection = TRANSPORTS[transport]().getTransport(TSocket("127.0.0.1", order["port"]))
    factory = protocol_factory(transport, order.get("protocol", "binary"))
    protocol = factory.getProtocol(connection)
    connection.open()
    return connection, protocol


def client(order, protocol):
    service = order.get("service")
    if service:
        protocol = TMultiplexedProtocol(protocol, service)
    module = Twin if service == "Twin" else Newer if order.get("newer") else Probe
    return module.Client(protocol)


def argument(value, method):
    return Record(**value) if method == "echoRecord" else value


def plain(value):
    if isinstance(value, Record):
        return {name: field for name, field in vars(value).items() if field is not None}
    return value


def answer(call):
    try:
        return {"value": plain(call())}
    except Refused as refused:
        return {"refused": {"code": refused.code, "why": refused.why}}
    except TApplicationException as error:
        return {"application": {"type": error.type, "message": error.message}}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def sequentially(client, calls):
    for method, *values in calls:
        arguments = [argument(value, method) for value in values]
        yield answer(lambda: getattr(client, method)(*arguments))


def pipelined(client, calls):
    for method, *values in calls:
        getattr(client, f"send_{method}")(*(argument(value, method) for value in values))
    for method, *_ in calls:
        yield answer(getattr(client, f"recv_{method}"))


def main():
    connection = protocol = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "port" in order:
                if connection:
                    connection.close()
                connection, protocol = connect(order)
            made = pipelined if order.get("pipelined") else sequentially
            answers = list(made(client(order, protocol), order["calls"]))
            print(json.dumps({"answers": answers}), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


main()
