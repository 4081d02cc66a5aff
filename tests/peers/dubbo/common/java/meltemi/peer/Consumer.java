package meltemi.peer;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * Calls {@link Probe} at {@code --address HOST:PORT[,HOST:PORT]} and reports what it saw as JSON lines.
 *
 * <p>{@code --story NAME[,NAME]} or {@code all} tells stories; {@code --load THREADS} calls until told to stop (see
 * {@link Load}), with {@code --timeout MS}, {@code --retries N}, a pause of {@code --pause MS} between calls,
 * parameters of its URL {@code --with NAME=VALUE[,NAME=VALUE]} and, as attachment {@code lane}, {@code --lane TEXT}. Without an address it takes {@link Orders}.
 */
public final class Consumer {
    private Consumer() {}

    public static void main(String[] args) throws Exception {
        Library.silence();
        Options options = new Options(args);
        ApplicationConfig application = new ApplicationConfig("consumer-" + Library.VERSION);
        application.setQosEnable(false);
        DubboBootstrap.getInstance().application(application).start();
        String address = options.text("address", null);
        int threads = options.number("load", 0);
        if (address == null) {
            new Orders().run();
        } else if (threads > 0) {
            Reference reference = new Reference(address)
                    .timeout(options.number("timeout", 20_000))
                    .retries(options.number("retries", 0));
            for (String parameter : options.text("with", "").split(",")) {
                String[] pair = parameter.split("=");
                if (pair.length == 2) {
                    reference.with(pair[0], pair[1]);
                }
            }
            new Load(address, reference, threads, options).run();
        } else {
            tell(new Stories(address).all(), options.text("story"));
        }
        System.exit(0);
    }

    private static void tell(Map<String, Stories.Story> stories, String names) throws Exception {
        List<String> chosen = names.equals("all") ? new ArrayList<>(stories.keySet()) : List.of(names.split(","));
        for (String name : chosen) {
            Stories.Story story = stories.get(name);
            if (story == null) {
                throw new IllegalArgumentException("no story " + name + "; there are " + stories.keySet());
            }
            Stage stage = new Stage(name);
            try {
                story.tell(stage);
            } catch (Throwable e) {
                stage.expect("told to its end", "yes", () -> Stage.describe(e));
            }
            stage.finish();
        }
    }
}
