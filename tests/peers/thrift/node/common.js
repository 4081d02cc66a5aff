// The transports and protocols of Apache's Node library, by the names that the tests use.
"use strict";

const thrift = require("thrift");

const TRANSPORTS = {
  framed: thrift.TFramedTransport,
  buffered: thrift.TBufferedTransport,
};

// Called with `new`: what a constructor returns is what `new` gives.
function Lax(transport) {
  return new thrift.TBinaryProtocol(transport, false, false);
}

const PROTOCOLS = {
  binary: thrift.TBinaryProtocol,
  lax: Lax,
  compact: thrift.TCompactProtocol,
  json: thrift.TJSONProtocol,
};

exports.options = (transport, protocol) => ({
  transport: TRANSPORTS[transport],
  protocol: PROTOCOLS[protocol],
});
