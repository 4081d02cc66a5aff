package meltemi.peer;

import org.apache.thrift.TConfiguration;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TJSONProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.transport.TTransportFactory;
import org.apache.thrift.transport.layered.TFramedTransport;

/** The transports and protocols of Apache's Java library, by the names that the tests use. */
final class Forms {
  private Forms() {}

  static TTransportFactory transport(String name) {
    return switch (name) {
      case "framed" -> new TFramedTransport.Factory(TConfiguration.DEFAULT_MAX_FRAME_SIZE);
      // A socket buffers by itself.
      case "buffered" -> new TTransportFactory();
      default -> throw new IllegalArgumentException("no transport " + name);
    };
  }

  static TProtocolFactory protocol(String name) {
    return switch (name) {
      case "binary" -> new TBinaryProtocol.Factory(true, true);
      case "lax" -> new TBinaryProtocol.Factory(false, false);
      case "compact" -> new TCompactProtocol.Factory();
      case "json" -> new TJSONProtocol.Factory();
      default -> throw new IllegalArgumentException("no protocol " + name);
    };
  }
}
