package meltemi.peer;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that call without pause, each checking that every answer is its own.
 *
 * <p>Driven by lines on standard input: {@code mark} prints and resets the counts, {@code stop} (or the end of the
 * input) prints them and ends. The counts are {@code calls} by answering provider, {@code errors} by kind,
 * {@code wrong} answers, the {@code slowest} call in milliseconds, and what is known of some that {@code failed}; and the local ports of the {@code connections}.
 */
final class Load {
    private static final int FAILED = 20;

    private final String address;
    private final Probe probe;
    private final int threads;
    private final String lane;
    private final int pause;
    private volatile boolean stopped;
    private Map<String, Integer> calls = new TreeMap<>();
    private Map<String, Integer> errors = new TreeMap<>();
    private List<String> wrong = new ArrayList<>();
    private List<String> failed = new ArrayList<>();
    private long slowest;

    Load(String address, Reference reference, int threads, Options options) {
        this.address = address;
        this.probe = reference.probe();
        this.threads = threads;
        this.lane = options.text("lane", null);
        this.pause = options.number("pause", 0);
    }

    void run() throws IOException, InterruptedException {
        List<Thread> callers = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            String name = "caller" + i;
            Thread caller = new Thread(() -> call(name), name);
            caller.start();
            callers.add(caller);
        }
        System.out.println(Json.line(Map.of("started", threads)));
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null && !line.equals("stop"); line = commands.readLine()) {
            System.out.println(counts());
        }
        stopped = true;
        for (Thread caller : callers) {
            caller.join();
        }
        System.out.println(counts());
    }

    private void call(String name) {
        for (int n = 0; !stopped; n++) {
            String padding = "p".repeat(ThreadLocalRandom.current().nextInt(2000));
            LockSupport.parkNanos(pause * 1_000_000L);
            long start = System.nanoTime();
            String answer = null;
            String error = null;
            Instant made = Instant.now();
            Throwable failure = null;
            try {
                if (lane != null) {
                    Library.sendAttachment("lane", lane);
                }
                answer = probe.greet(name, n, padding);
            } catch (Throwable e) {
                error = Stage.describe(e);
                failure = e;
            }
            note(name + "/" + n, made, failure);
            record(answer, error, "/" + name + "/" + n + "/" + padding, (System.nanoTime() - start) / 1_000_000);
        }
    }

    /** Which call failed, when it was made, and why, of as many as somebody might read. */
    private synchronized void note(String call, Instant made, Throwable failure) {
        if (failure != null && failed.size() < FAILED) {
            failed.add(call + " of " + made + ", until " + Instant.now() + ": " + failure);
        }
    }

    private synchronized void record(String answer, String error, String expected, long millis) {
        slowest = Math.max(slowest, millis);
        if (error != null) {
            errors.merge(error, 1, Integer::sum);
        } else if (answer == null || !answer.endsWith(expected)) {
            wrong.add(expected + " was answered " + answer);
        } else {
            calls.merge(answer.substring(0, answer.length() - expected.length()), 1, Integer::sum);
        }
    }

    private synchronized String counts() throws IOException {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("calls", calls);
        line.put("errors", errors);
        line.put("wrong", wrong);
        line.put("slowest", slowest);
        line.put("failed", failed);
        line.put("connections", Sockets.established(address));
        String text = Json.line(line);
        calls = new TreeMap<>();
        errors = new TreeMap<>();
        wrong = new ArrayList<>();
        failed = new ArrayList<>();
        slowest = 0;
        return text;
    }
}
