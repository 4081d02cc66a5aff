"""The transports and protocols of Apache's Python library, by the names that the tests use."""

from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.protocol.TCompactProtocol import TCompactProtocolFactory
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.protocol.TJSONProtocol import TJSONProtocolFactory
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TTransport import (
    TBufferedTransportFactory,
    TFramedTransportFactory,
    TTransportFactoryBase,
)

TRANSPORTS = {
    "framed": TFramedTransportFactory,
    "buffered": TBufferedTransportFactory,
    # Its protocol brings its own transport.
    "header": TTransportFactoryBase,
}


def header(subprotocol):
    return THeaderProtocolFactory((THeaderClientType.HEADERS,), subprotocol)


def protocol_factory(transport, protocol):
    if transport == "header":
        return {
            "binary": lambda: header(THeaderSubprotocolID.BINARY),
            "compact": lambda: header(THeaderSubprotocolID.COMPACT),
        }[protocol]()
    return {
        "binary": lambda: TBinaryProtocolFactory(True, True),
        "lax": lambda: TBinaryProtocolFactory(False, False),
        "compact": TCompactProtocolFactory,
        "json": TJSONProtocolFactory,
    }[protocol]()
