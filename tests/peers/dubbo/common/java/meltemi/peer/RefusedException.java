package meltemi.peer;

/** A checked exception of the service's own, with a field beside the message. */
public class RefusedException extends Exception {
    private static final long serialVersionUID = 1L;

    private int code;

    public RefusedException() {}

    public RefusedException(String message, int code) {
        super(message);
        this.code = code;
    }

    public int getCode() {
        return code;
    }

    public void setCode(int code) {
        this.code = code;
    }
}
