package meltemi.peer;

import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.dubbo.rpc.RpcContext;

/** What differs between the generations of the library: this is 3.3. */
final class Library {
    static final String VERSION = "3.3.6";

    private Library() {}

    static void silence() {
        System.setProperty("dubbo.application.logger", "jdk");
        Logger.getLogger("").setLevel(Level.OFF);
    }

    /** Beside hessian2. */
    static List<String> serializations() {
        return List.of("fastjson2");
    }

    static void sendAttachment(String key, Object value) {
        RpcContext.getClientAttachment().setAttachment(key, value);
    }

    static String requestAttachment(String key) {
        return RpcContext.getServerAttachment().getAttachment(key);
    }

    static void answerWithAttachment(String key, String value) {
        RpcContext.getServerResponseContext().setAttachment(key, value);
    }

    static String answerAttachment(String key) {
        return RpcContext.getClientResponseContext().getAttachment(key);
    }
}
