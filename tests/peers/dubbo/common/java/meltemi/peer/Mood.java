package meltemi.peer;

/** An enum as an argument and as a result. */
public enum Mood {
    CALM,
    WINDY
}
