package meltemi.peer;

/** A callback argument: the provider calls the consumer, on the connection that the consumer opened. */
public interface Listener {
    String event(String topic, int n);
}
