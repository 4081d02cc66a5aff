package meltemi.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/** The connections of this machine, as Linux lists them. */
final class Sockets {
    private static final String ESTABLISHED = "01";

    private Sockets() {}

    /** Local ports of the established connections to the port of {@code address}. */
    static Set<Integer> established(String address) throws IOException {
        int port = Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
        Set<Integer> locals = new TreeSet<>();
        for (String table : new String[] {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
            if (!Files.exists(Path.of(table))) {
                continue;
            }
            for (String line : Files.readAllLines(Path.of(table))) {
                String[] fields = line.trim().split("\\s+");
                if (fields[3].equals(ESTABLISHED) && portOf(fields[2]) == port) {
                    locals.add(portOf(fields[1]));
                }
            }
        }
        return locals;
    }

    private static int portOf(String endpoint) {
        String port = endpoint.substring(endpoint.indexOf(':') + 1);
        return port.matches("[0-9A-F]{4}") ? Integer.parseInt(port, 16) : -1;
    }
}
