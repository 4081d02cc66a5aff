package meltemi.peer;

import java.math.BigDecimal;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The provider's side of {@link Probe}. */
final class ProbeService implements Probe {
    private final String label;
    private final Map<String, AtomicInteger> fired = new ConcurrentHashMap<>();

    ProbeService(String label) {
        this.label = label;
    }

    @Override
    public String who() {
        return label;
    }

    @Override
    public String greet(String caller, int n, String padding) {
        return label + "/" + caller + "/" + n + "/" + padding;
    }

    @Override
    public boolean echoBoolean(boolean value) {
        return value;
    }

    @Override
    public byte echoByte(byte value) {
        return value;
    }

    @Override
    public short echoShort(short value) {
        return value;
    }

    @Override
    public int echoInt(int value) {
        return value;
    }

    @Override
    public long echoLong(long value) {
        return value;
    }

    @Override
    public float echoFloat(float value) {
        return value;
    }

    @Override
    public double echoDouble(double value) {
        return value;
    }

    @Override
    public char echoChar(char value) {
        return value;
    }

    @Override
    public String echoString(String value) {
        return value;
    }

    @Override
    public byte[] echoBytes(byte[] value) {
        return value;
    }

    @Override
    public int[] echoInts(int[] value) {
        return value;
    }

    @Override
    public BigDecimal echoDecimal(BigDecimal value) {
        return value;
    }

    @Override
    public Date echoDate(Date value) {
        return value;
    }

    @Override
    public Mood echoMood(Mood value) {
        return value;
    }

    @Override
    public List<String> echoList(List<String> value) {
        return value;
    }

    @Override
    public Map<String, Object> echoMap(Map<String, Object> value) {
        return value;
    }

    @Override
    public Person echoPerson(Person value) {
        return value;
    }

    @Override
    public List<Person> echoPeople(List<Person> value) {
        return value;
    }

    @Override
    public String join(String first, int second, Person third, List<String> fourth, boolean fifth) {
        return first + "|" + second + "|" + third + "|" + fourth + "|" + fifth;
    }

    @Override
    public String blob(int length) {
        return "b".repeat(length);
    }

    @Override
    public void nothing() {}

    @Override
    public String refuse(String reason) throws RefusedException {
        throw new RefusedException(reason, 42);
    }

    @Override
    public String fail(String reason) {
        throw new IllegalStateException(reason);
    }

    @Override
    public void fire(String token) {
        fired.computeIfAbsent(token, key -> new AtomicInteger()).incrementAndGet();
    }

    @Override
    public int fired(String token) {
        AtomicInteger count = fired.get(token);
        return count == null ? 0 : count.get();
    }

    @Override
    public String attachment(String key) {
        String seen = Library.requestAttachment(key);
        if (seen != null) {
            Library.answerWithAttachment(key + "-back", new StringBuilder(seen).reverse().toString());
        }
        return seen;
    }

    @Override
    public String slow(String value, int millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        return value;
    }

    @Override
    public CompletableFuture<String> later(String value, int millis) {
        return CompletableFuture.supplyAsync(
                () -> value, CompletableFuture.delayedExecutor(millis, TimeUnit.MILLISECONDS));
    }

    @Override
    public String subscribe(String topic, Listener listener, int times) {
        StringBuilder answers = new StringBuilder(label);
        for (int n = 0; n < times; n++) {
            answers.append('/').append(listener.event(topic, n));
        }
        return answers.toString();
    }
}
