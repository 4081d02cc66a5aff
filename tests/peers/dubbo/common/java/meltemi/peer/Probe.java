package meltemi.peer;

import java.math.BigDecimal;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** The service that every provider of the tests offers; each method makes one fact observable. */
public interface Probe {
    /** The label that the answering provider was started with. */
    String who();

    /** {@code label/caller/n}: names the provider, and the one call that this is the answer to. */
    String greet(String caller, int n, String padding);

    boolean echoBoolean(boolean value);

    byte echoByte(byte value);

    short echoShort(short value);

    int echoInt(int value);

    long echoLong(long value);

    float echoFloat(float value);

    double echoDouble(double value);

    char echoChar(char value);

    String echoString(String value);

    byte[] echoBytes(byte[] value);

    int[] echoInts(int[] value);

    BigDecimal echoDecimal(BigDecimal value);

    Date echoDate(Date value);

    Mood echoMood(Mood value);

    List<String> echoList(List<String> value);

    Map<String, Object> echoMap(Map<String, Object> value);

    Person echoPerson(Person value);

    List<Person> echoPeople(List<Person> value);

    /** Several arguments of several kinds, put together in order. */
    String join(String first, int second, Person third, List<String> fourth, boolean fifth);

    /** A string of this many characters. */
    String blob(int length);

    void nothing();

    String refuse(String reason) throws RefusedException;

    String fail(String reason);

    /** Called one-way by the consumer: counts under the token. */
    void fire(String token);

    /** How many one-way calls arrived under the token. */
    int fired(String token);

    /** The attachment that arrived; sends {@code key-back} with the same text, reversed, with the answer. */
    String attachment(String key);

    String slow(String value, int millis);

    CompletableFuture<String> later(String value, int millis);

    /** Calls the listener {@code times} times before it answers. */
    String subscribe(String topic, Listener listener, int times);
}
