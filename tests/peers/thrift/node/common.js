// The transports and protocols of Apache's Node library, by the names that the tests use.
"use strict";

const util = require("util");

const thrift = require("thrift");

const TRANSPORTS = {
  framed: thrift.TFramedTransport,
  buffered: thrift.TBufferedTransport,
};

// What wraps a protocol for multiplexing calls it without `new`, which a class refuses.
function Lax(transport) {
  thrift.TBinaryProtocol.call(this, transport, false, false);
}
util.inherits(Lax, thrift.TBinaryProtocol);

const PROTOCOLS = {
  binary: thrift.TBinaryProtocol,
  lax: Lax,
  compact: thrift.TCompactProtocol,
  json: thrift.TJSONProtocol,
};

// What reads a header finds the protocol in it; what writes one has to be told.
function CompactHeader(buffer, flushed) {
  thrift.TFramedTransport.call(this, buffer, flushed);
  this.setProtocolId(2);
}
util.inherits(CompactHeader, thrift.TFramedTransport);
CompactHeader.receiver = thrift.TFramedTransport.receiver;

exports.options = (transport, protocol) => {
  if (transport !== "header") {
    return { transport: TRANSPORTS[transport], protocol: PROTOCOLS[protocol] };
  }
  return {
    transport: protocol === "compact" ? CompactHeader : thrift.TFramedTransport,
    protocol: thrift.THeaderProtocol,
  };
};
