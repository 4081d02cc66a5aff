package meltemi.peer;

import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.dubbo.rpc.RpcContext;

/** What differs between the generations of the library: this is 2.7. */
final class Library {
    static final String VERSION = "2.7.23";

    private Library() {}

    static void silence() {
        System.setProperty("dubbo.application.logger", "jdk");
        Logger.getLogger("").setLevel(Level.OFF);
    }

    /** Beside hessian2. */
    static List<String> serializations() {
        return List.of("java", "compactedjava", "nativejava", "fastjson", "gson", "kryo");
    }

    static void sendAttachment(String key, Object value) {
        RpcContext.getContext().setAttachment(key, value);
    }

    static String requestAttachment(String key) {
        return RpcContext.getContext().getAttachment(key);
    }

    static void answerWithAttachment(String key, String value) {
        RpcContext.getServerContext().setAttachment(key, value);
    }

    static String answerAttachment(String key) {
        return RpcContext.getServerContext().getAttachment(key);
    }
}
