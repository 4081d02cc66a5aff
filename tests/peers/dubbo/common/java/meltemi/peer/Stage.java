package meltemi.peer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.dubbo.rpc.RpcException;

/** Where a story states its facts: one JSON line each, then their count. */
final class Stage {
    private static final int SHOWN = 80;

    private final String story;
    private int ok;
    private int failed;

    Stage(String story) {
        this.story = story;
    }

    /** A fact with a known answer. */
    void expect(String check, Object expected, Callable<?> call) {
        String saw;
        boolean equal = false;
        try {
            Object value = call.call();
            equal = Objects.deepEquals(expected, value);
            saw = show(value);
        } catch (Throwable e) {
            saw = describe(e);
        }
        state(check, equal, saw);
    }

    /** A value goes to and fro unchanged. */
    <T> void echo(String check, T value, Echo<T> call) {
        expect(check, value, () -> call.of(value));
    }

    /** The call must throw this, as {@link #describe} puts it: a prefix, for texts hold addresses. */
    void expectThrown(String check, String expected, Callable<?> call) {
        String saw;
        boolean equal = false;
        try {
            saw = show(call.call());
        } catch (Throwable e) {
            saw = describe(e);
            equal = saw.startsWith(expected);
        }
        state(check, equal, saw);
    }

    /** A fact whose value is the library's own business: it counts only that it is the same elsewhere. */
    void note(String check, Callable<?> call) {
        String saw;
        try {
            saw = show(call.call());
        } catch (Throwable e) {
            saw = describe(e);
        }
        state(check, true, saw);
    }

    void finish() {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("story", story);
        line.put("ok", ok);
        line.put("failed", failed);
        System.out.println(Json.line(line));
    }

    /** An exception as facts that do not depend on ports or times: its kind, and the service's own words. */
    static String describe(Throwable thrown) {
        Throwable e = thrown instanceof ExecutionException && thrown.getCause() != null ? thrown.getCause() : thrown;
        if (e instanceof RpcException rpc) {
            return "RpcException(" + rpc.getCode() + ")";
        }
        if (e instanceof RefusedException refused) {
            return "RefusedException(" + refused.getMessage() + ", " + refused.getCode() + ")";
        }
        String message = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return e.getClass().getSimpleName() + "(" + message + ")";
    }

    private void state(String check, boolean good, String saw) {
        if (good) {
            ok++;
        } else {
            failed++;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("story", story);
        line.put("check", check);
        line.put("ok", good);
        line.put("saw", saw);
        System.out.println(Json.line(line));
    }

    private static String show(Object value) {
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes";
        }
        if (value instanceof int[] ints) {
            List<Integer> list = new ArrayList<>();
            for (int i : ints) {
                list.add(i);
            }
            return list.toString();
        }
        String text = String.valueOf(value);
        return text.length() <= SHOWN ? text : text.length() + " characters";
    }

    /** A call that returns its argument. */
    interface Echo<T> {
        T of(T value) throws Exception;
    }
}
