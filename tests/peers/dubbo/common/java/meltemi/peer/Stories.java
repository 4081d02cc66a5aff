package meltemi.peer;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.dubbo.rpc.service.EchoService;
import org.apache.dubbo.rpc.service.GenericService;

/** What a consumer does, story by story; each holds against a provider directly as through a proxy. */
final class Stories {
    private final String address;

    Stories(String address) {
        this.address = address;
    }

    Map<String, Story> all() {
        Map<String, Story> stories = new LinkedHashMap<>();
        stories.put("basic", stage -> basicTypes(stage, at().probe()));
        stories.put("objects", stage -> objects(stage, at().probe()));
        stories.put("text", stage -> text(stage, at().probe()));
        stories.put("sizes", this::sizes);
        stories.put("exceptions", this::exceptions);
        stories.put("unknown", this::unknown);
        stories.put("attachments", this::attachments);
        stories.put("generic", this::generic);
        stories.put("oneway", this::oneWay);
        stories.put("async", this::async);
        stories.put("heartbeat", this::heartbeat);
        stories.put("timeout", this::timeout);
        stories.put("echo", this::echo);
        stories.put("group", this::group);
        stories.put("callback", this::callback);
        for (String serialization : Library.serializations()) {
            stories.put(serialization, stage -> serialization(stage, serialization));
        }
        return stories;
    }

    private Reference at() {
        return new Reference(address);
    }

    private static void basicTypes(Stage stage, Probe probe) {
        stage.echo("boolean", true, probe::echoBoolean);
        stage.echo("byte", Byte.MIN_VALUE, probe::echoByte);
        stage.echo("short", Short.MIN_VALUE, probe::echoShort);
        for (int value : new int[] {0, -1, 47, 2047, -2048, 262_143, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
            stage.echo("int " + value, value, probe::echoInt);
        }
        for (long value : new long[] {0, 15, -2048, 262_144, 1L << 31, Long.MIN_VALUE, Long.MAX_VALUE}) {
            stage.echo("long " + value, value, probe::echoLong);
        }
        stage.echo("float", 1.5f, probe::echoFloat);
        for (double value : new double[] {0, 1, -128, 12.25, 1e300, Double.NaN, Double.NEGATIVE_INFINITY}) {
            stage.echo("double " + value, value, probe::echoDouble);
        }
        stage.echo("char", '\u03bb', probe::echoChar);
        stage.expect("void", null, () -> {
            probe.nothing();
            return null;
        });
    }

    private static void objects(Stage stage, Probe probe) {
        stage.echo("bytes", new byte[] {0, -1, (byte) 0xda, (byte) 0xbb}, probe::echoBytes);
        stage.echo("ints", new int[] {1, -2, 300_000}, probe::echoInts);
        stage.echo("list", List.of("a", "", "c"), value -> probe.echoList(new ArrayList<>(value)));
        stage.echo("empty list", List.of(), value -> List.copyOf(probe.echoList(new ArrayList<>())));
        stage.echo("map", mixedMap(), probe::echoMap);
        stage.echo("decimal", new BigDecimal("12345678901234567890.123456789"), probe::echoDecimal);
        stage.echo("date", new Date(1_700_000_000_123L), probe::echoDate);
        stage.echo("enum", Mood.WINDY, probe::echoMood);
        Person ada = person("Ada", 36);
        Person bob = person("Bob", 40);
        ada.setFriend(bob);
        bob.setFriend(ada);
        stage.echo("person", ada, probe::echoPerson);
        stage.echo("people", Arrays.asList(ada, bob, null), probe::echoPeople);
        stage.echo("null person", null, probe::echoPerson);
        stage.expect("several arguments", "x|7|" + bob + "|[p, q]|true",
                () -> probe.join("x", 7, bob, Arrays.asList("p", "q"), true));
    }

    private static Map<String, Object> mixedMap() {
        Map<String, Object> map = new HashMap<>();
        map.put("text", "value");
        map.put("number", 5L);
        map.put("nothing", null);
        map.put("list", Arrays.asList(1, 2, 3));
        map.put("person", person("Cleo", 9));
        return map;
    }

    private static Person person(String name, int age) {
        Map<String, Long> scores = new HashMap<>();
        scores.put("chess", 1L << 40);
        return new Person(name, age, new ArrayList<>(List.of("kind", "\u03bb")), scores);
    }

    private static void text(Stage stage, Probe probe) {
        stage.echo("empty", "", probe::echoString);
        stage.echo("null", null, probe::echoString);
        stage.echo("ascii", "hello", probe::echoString);
        stage.echo("two bytes", "\u039c\u03b5\u03bb\u03c4\u03ad\u03bc\u03b9", probe::echoString);
        stage.echo("three bytes", "\u6d4b\u8bd5\u4e2d\u6587", probe::echoString);
        stage.echo("emoji", "\ud83c\udf2c\ufe0f\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67", probe::echoString);
        stage.echo("nul and controls", "\u0000\u0001\r\n\t", probe::echoString);
        for (int length : new int[] {31, 32, 1023, 1024, 32_768, 65_536}) {
            stage.echo("length " + length, "\u03bb".repeat(length), probe::echoString);
        }
        stage.echo("emoji across a chunk", "x".repeat(32_767) + "\ud83c\udf2c".repeat(20_000), probe::echoString);
    }

    private void sizes(Stage stage) {
        Probe probe = at().probe();
        for (int kib : new int[] {16, 255, 256, 257, 1024, 7 * 1024}) {
            byte[] bytes = new byte[kib * 1024];
            Arrays.fill(bytes, (byte) kib);
            stage.echo(kib + " KiB of bytes", bytes, probe::echoBytes);
        }
        stage.echo("1 MB of text", "m".repeat(1_000_000), probe::echoString);
        stage.expect("7 MB answer", "b".repeat(7_000_000), () -> probe.blob(7_000_000));
        stage.note("answer over the limit", () -> probe.blob(9_000_000));
        stage.echo("and after", "still here", probe::echoString);
    }

    private void exceptions(Stage stage) {
        Probe probe = at().probe();
        stage.expectThrown("checked", "RefusedException(not today, 42)", () -> probe.refuse("not today"));
        stage.expectThrown("runtime", "IllegalStateException(out of order)", () -> probe.fail("out of order"));
        stage.echo("and after", "still here", probe::echoString);
    }

    private void unknown(Stage stage) {
        stage.expectThrown("service", "RpcException(", () -> at().to(Missing.class).anything("x"));
        stage.expectThrown("group", "RpcException(", () -> at().of("nobody", null).probe().who());
        stage.expectThrown("version", "RpcException(", () -> at().of(null, "9.9.9").probe().who());
        stage.expectThrown("method", "", () -> at().generic(Probe.class.getName())
                .$invoke("nope", new String[] {"java.lang.String"}, new Object[] {"x"}));
        stage.echo("and after", "still here", at().probe()::echoString);
    }

    private void attachments(Stage stage) {
        Probe probe = at().probe();
        for (String value : List.of("plain", "", "\u03bb\ud83c\udf2c", "v".repeat(5000))) {
            String name = value.length() > 20 ? value.length() + " characters" : "'" + value + "'";
            stage.expect("sent " + name, value, () -> {
                Library.sendAttachment("story-key", value);
                return probe.attachment("story-key");
            });
            stage.note("returned " + name, () -> Library.answerAttachment("story-key-back"));
        }
        // 3.3.6 forgets it after the call; 2.7.23, given one address, does not.
        stage.note("sent again", () -> probe.attachment("story-key"));
        stage.expect("beside an object", "kept", () -> {
            Library.sendAttachment("an-object", new HashMap<>(Map.of("k", 1)));
            Library.sendAttachment("story-key", "kept");
            return probe.attachment("story-key");
        });
    }

    private void generic(Stage stage) {
        GenericService probe = at().generic(Probe.class.getName());
        String text = "java.lang.String";
        stage.expect("string", "g", () -> probe.$invoke("echoString", new String[] {text}, new Object[] {"g"}));
        stage.expect("int", 7, () -> probe.$invoke("echoInt", new String[] {"int"}, new Object[] {7}));
        stage.expect("no arguments", null, () -> probe.$invoke("nothing", new String[0], new Object[0]));
        Map<String, Object> person = new HashMap<>();
        person.put("class", Person.class.getName());
        person.put("name", "Gen");
        person.put("age", 5);
        stage.expect("object", "Gen", () -> ((Map<?, ?>) probe.$invoke(
                "echoPerson", new String[] {Person.class.getName()}, new Object[] {person})).get("name"));
        stage.expect("async", "later", () -> probe.$invokeAsync(
                "echoString", new String[] {text}, new Object[] {"later"}).get(10, TimeUnit.SECONDS));
        stage.expectThrown("exception", "", () -> probe.$invoke("fail", new String[] {text}, new Object[] {"g"}));
    }

    private void oneWay(Stage stage) {
        Probe probe = at().fireOneWay().probe();
        String token = UUID.randomUUID().toString();
        int shots = 20;
        for (int i = 0; i < shots; i++) {
            probe.fire(token);
        }
        stage.expect("all arrive", shots, () -> {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
            while (probe.fired(token) < shots && System.nanoTime() < end) {
                Thread.sleep(20);
            }
            return probe.fired(token);
        });
        stage.echo("and after", "still here", probe::echoString);
    }

    private void async(Stage stage) {
        Probe probe = at().probe();
        stage.expect("overtaking", "[slow, quick]", () -> {
            CompletableFuture<String> slow = probe.later("slow", 300);
            CompletableFuture<String> quick = probe.later("quick", 1);
            return List.of(slow.get(10, TimeUnit.SECONDS), quick.get(10, TimeUnit.SECONDS)).toString();
        });
        stage.expect("a hundred at once", true, () -> {
            List<CompletableFuture<String>> answers = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                answers.add(probe.later("n" + i, 100 - i));
            }
            for (int i = 0; i < 100; i++) {
                if (!("n" + i).equals(answers.get(i).get(10, TimeUnit.SECONDS))) {
                    return "wrong answer to n" + i;
                }
            }
            return true;
        });
    }

    /** A beat each second and 5 s of rest: a peer that does not hear its beats answered reconnects after 3 s. */
    private void heartbeat(Stage stage) {
        Probe probe = at().with("heartbeat", "1000").with("story", "heartbeat").with("connections", "1").probe();
        stage.echo("before", "first", probe::echoString);
        stage.expect("same connections", true, () -> {
            Set<Integer> before = Sockets.established(address);
            Thread.sleep(5000);
            Set<Integer> after = Sockets.established(address);
            return !before.isEmpty() && before.equals(after) ? true : before + " became " + after;
        });
        stage.echo("after", "second", probe::echoString);
    }

    private void timeout(Stage stage) {
        Probe probe = at().timeout(400).probe();
        stage.echo("before", "first", probe::echoString);
        stage.expectThrown("slow call", "RpcException(2)", () -> probe.slow("late", 1500));
        stage.echo("after", "second", probe::echoString);
        stage.expect("the late answer is nobody's", "mine", () -> {
            Thread.sleep(1500);
            return probe.echoString("mine");
        });
    }

    private void echo(Stage stage) {
        EchoService probe = (EchoService) at().probe();
        stage.echo("text", "OK", probe::$echo);
        stage.echo("number", 5, probe::$echo);
    }

    private void group(Stage stage) {
        String plain = at().probe().who();
        stage.expect("g1", plain + "-g1", () -> at().of("g1", "1.0.0").probe().who());
        stage.expect("g2", plain + "-g2", () -> at().of("g2", "2.0.0").probe().who());
        stage.expectThrown("mixed", "RpcException(", () -> at().of("g1", "2.0.0").probe().who());
    }

    private void callback(Stage stage) {
        Probe probe = at().with("subscribe.1.callback", "true").with("methods", "subscribe")
                .with("x.subscribe", "1").probe();
        String provider = at().probe().who();
        stage.expect("called back", provider + "/t0/t1/t2",
                () -> probe.subscribe("t", (topic, n) -> topic + n, 3));
    }

    private void serialization(Stage stage, String name) {
        Probe probe = at().of(name, "1.0.0-" + name).with("serialization", name).probe();
        stage.echo("text", "\u03bb\ud83c\udf2c", probe::echoString);
        stage.echo("person", person("Ada", 36), probe::echoPerson);
        stage.echo("1 MB", "m".repeat(1_000_000), probe::echoString);
        stage.expectThrown("checked exception", "", () -> probe.refuse("no"));
        stage.echo("and after", "still here", probe::echoString);
    }

    /** One of them. */
    interface Story {
        void tell(Stage stage) throws Exception;
    }
}
