package meltemi.peer;

import com.google.gson.Gson;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import meltemi.peer.probe.Probe;
import meltemi.peer.probe.Twin;
import org.apache.thrift.TMultiplexedProcessor;
import org.apache.thrift.TProcessor;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;

/**
 * A server of Apache's Java library: {@code server --label L TRANSPORT:PROTOCOL[:multiplexed][@PORT]...}
 *
 * <p>It prints one line with all ports, and then one for each call of {@code slow} when it begins.
 */
public final class Server {
  private Server() {}

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 2 || !arguments[0].equals("--label")) {
      throw new IllegalArgumentException("--label L comes first");
    }
    List<String> specs = List.of(arguments).subList(2, arguments.length);
    Handler handler = new Handler(arguments[1]);
    Map<String, Integer> ports = new TreeMap<>();
    for (String spec : specs.isEmpty() ? List.of("framed:binary@9090") : specs) {
      String[] parts = spec.split("@");
      int port = parts.length > 1 ? Integer.parseInt(parts[1]) : 0;
      ports.put(parts[0], serve(parts[0].split(":"), port, handler));
    }
    System.out.println(new Gson().toJson(Map.of("ports", ports)));
  }

  private static int serve(String[] form, int port, Handler handler) throws Exception {
    ServerSocket socket = new ServerSocket();
    socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    TThreadPoolServer.Args how =
        new TThreadPoolServer.Args(new TServerSocket(socket))
            .processor(processor(handler, form.length > 2))
            .transportFactory(Forms.transport(form[0]))
            .protocolFactory(Forms.protocol(form[1]));
    TThreadPoolServer server = new TThreadPoolServer(how);
    new Thread(server::serve).start();
    return socket.getLocalPort();
  }

  private static TProcessor processor(Handler handler, boolean multiplexed) {
    TProcessor probe = new Probe.Processor<>(handler);
    if (!multiplexed) {
      return probe;
    }
    TMultiplexedProcessor both = new TMultiplexedProcessor();
    both.registerProcessor("Probe", probe);
    both.registerProcessor("Twin", new Twin.Processor<>(new TwinHandler(handler.label())));
    return both;
  }

  private record TwinHandler(String of) implements Twin.Iface {
    @Override
    public String label() {
      return of + "-twin";
    }

    @Override
    public String twice(String text) {
      return text + text;
    }
  }
}
