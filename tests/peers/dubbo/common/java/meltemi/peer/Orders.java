package meltemi.peer;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.rpc.RpcException;

/**
 * Calls as lines of standard input order: {@code NUMBER HOST:PORT METHOD [ARGUMENT]}. Each has a thread of its own, so
 * that the next need not wait, and a line of JSON when it is over: its {@code number}, and its {@code value} or, of what
 * was thrown, {@code class}, {@code code}, {@code message} and, at the bottom, {@code cause}.
 */
final class Orders {
    /** So long that what a call is told comes from elsewhere. */
    private static final int TIMEOUT = 180_000;

    private String address;
    private ReferenceConfig<Probe> reference;

    void run() throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            Probe probe = at(words[1]);
            String argument = words.length > 3 ? words[3] : null;
            new Thread(() -> obey(words[0], probe, words[2], argument)).start();
        }
    }

    /** One service at a time: what was connected elsewhere is not looked after any more. */
    private Probe at(String address) {
        if (!address.equals(this.address)) {
            if (reference != null) {
                reference.destroy();
            }
            this.address = address;
            reference = new Reference(address).timeout(TIMEOUT).configuration();
        }
        return reference.get();
    }

    private static void obey(String number, Probe probe, String method, String argument) {
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("number", Long.valueOf(number));
        try {
            answer.put("value", call(probe, method, argument));
        } catch (Throwable e) {
            answer.put("class", e.getClass().getSimpleName());
            answer.put("code", e instanceof RpcException rpc ? rpc.getCode() : null);
            answer.put("message", e.getMessage());
            answer.put("cause", bottom(e).getClass().getSimpleName());
        }
        System.out.println(Json.line(answer));
    }

    private static Throwable bottom(Throwable thrown) {
        return thrown.getCause() == null ? thrown : bottom(thrown.getCause());
    }

    private static String call(Probe probe, String method, String argument) {
        switch (method) {
            case "who":
                return probe.who();
            case "echoString":
                return probe.echoString(argument);
            case "blob":
                return probe.blob(Integer.parseInt(argument));
            case "fire":
                probe.fire(argument);
                return null;
            case "fired":
                return String.valueOf(probe.fired(argument));
            default:
                throw new IllegalArgumentException("no order " + method);
        }
    }
}
