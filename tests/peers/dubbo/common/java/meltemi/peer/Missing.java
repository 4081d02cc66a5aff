package meltemi.peer;

/** An interface that no provider exports. */
public interface Missing {
    String anything(String value);
}
