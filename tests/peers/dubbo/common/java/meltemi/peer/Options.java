package meltemi.peer;

import java.util.HashMap;
import java.util.Map;

/** {@code --name value} pairs of a command line. */
final class Options {
    private final Map<String, String> values = new HashMap<>();

    Options(String[] args) {
        for (int i = 0; i < args.length; i += 2) {
            if (!args[i].startsWith("--") || i + 1 == args.length) {
                throw new IllegalArgumentException("expected --name value, found " + args[i]);
            }
            values.put(args[i].substring(2), args[i + 1]);
        }
    }

    String text(String name, String missing) {
        return values.getOrDefault(name, missing);
    }

    String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    int number(String name, int missing) {
        return values.containsKey(name) ? Integer.parseInt(values.get(name)) : missing;
    }
}
