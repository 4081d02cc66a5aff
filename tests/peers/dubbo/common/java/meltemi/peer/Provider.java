package meltemi.peer;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.HashMap;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.remoting.Constants;

/**
 * Offers {@link Probe} on one port, several times: plain, under groups and versions, and under each serialization.
 *
 * <p>{@code --label TEXT} names it in its answers; {@code --port N} fixes the port (0: any), {@code --host NAME} its address; {@code --heartbeat MS} its
 * heartbeat; {@code --payload BYTES} the longest message that it writes or reads; {@code --offer plain} leaves out all but the plain one: of several services the port opens with the first,
 * and calls of the others fail until they follow. Prints one JSON line {@code {"ready":true,"port":N}}. SIGTERM leaves
 * gracefully; so does the end of standard input, lest it outlive whoever started it.
 */
public final class Provider {
    private Provider() {}

    public static void main(String[] args) throws IOException {
        Library.silence();
        Options options = new Options(args);
        String label = options.text("label");
        int port = options.number("port", 0);
        port = port == 0 ? freePort() : port;

        ApplicationConfig application = new ApplicationConfig("provider-" + label);
        application.setQosEnable(false);
        ProtocolConfig protocol = new ProtocolConfig("dubbo", port);
        protocol.setHost(options.text("host", "loopback.test"));
        protocol.setThreads(options.number("threads", 200));
        protocol.setPayload(options.number("payload", Constants.DEFAULT_PAYLOAD));

        DubboBootstrap bootstrap = DubboBootstrap.getInstance();
        bootstrap.application(application).registry(new RegistryConfig("N/A")).protocol(protocol);
        Probe probe = new ProbeService(label);
        Map<String, String> parameters = new HashMap<>();
        parameters.put("subscribe.1.callback", "true");
        if (options.number("heartbeat", 0) > 0) {
            parameters.put("heartbeat", options.text("heartbeat"));
        }
        bootstrap.service(service(probe, parameters, null, null));
        if (!options.text("offer", "all").equals("plain")) {
            offerVariants(bootstrap, label, probe, parameters);
        }
        bootstrap.start();
        System.out.println(Json.line(Map.of("ready", true, "port", port)));
        awaitEndOfInput();
        System.exit(0);
    }

    private static void offerVariants(
            DubboBootstrap bootstrap, String label, Probe probe, Map<String, String> parameters) {
        bootstrap.service(service(new ProbeService(label + "-g1"), parameters, "g1", "1.0.0"));
        bootstrap.service(service(new ProbeService(label + "-g2"), parameters, "g2", "2.0.0"));
        for (String serialization : Library.serializations()) {
            // The receiver looks the serialization up by interface and version, not by group.
            ServiceConfig<Probe> config = service(probe, parameters, serialization, "1.0.0-" + serialization);
            config.setSerialization(serialization);
            bootstrap.service(config);
        }
    }

    private static ServiceConfig<Probe> service(
            Probe probe, Map<String, String> parameters, String group, String version) {
        ServiceConfig<Probe> service = new ServiceConfig<>();
        // Without an id of its own 2.7.23 exports only the first.
        service.setId("probe-" + group);
        service.setInterface(Probe.class);
        service.setRef(probe);
        service.setGroup(group);
        service.setVersion(version);
        service.setParameters(parameters);
        return service;
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static void awaitEndOfInput() throws IOException {
        while (System.in.read() >= 0) {
            // Nothing is expected but its end.
        }
    }
}
