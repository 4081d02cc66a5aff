package meltemi.peer;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.reflect.TypeToken;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import meltemi.peer.probe.Newer;
import meltemi.peer.probe.Probe;
import meltemi.peer.probe.Record;
import meltemi.peer.probe.Refused;
import meltemi.peer.probe.Twin;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TConfiguration;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;

/**
 * A client of Apache's Java library. A line of standard input is a JSON object, and so is its answer:
 *
 * <p>{@code {"port": 9090, "transport": "framed", "protocol": "binary", "service": "Twin", "calls": [["label"]]}}
 *
 * <p>With {@code port} it connects anew; {@code service} makes the calls multiplexed. {@code newer} calls as a client
 * whose IDL has more methods. The library cannot send a call before it has read the last one's answer.
 */
public final class Client {
  private static final Gson JSON =
      new GsonBuilder().serializeNulls().serializeSpecialFloatingPointValues().create();

  private TTransport transport;
  private TProtocol protocol;

  private Client() {}

  public static void main(String[] arguments) throws Exception {
    Client client = new Client();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Map<String, Object> answer;
      try {
        answer = Map.of("answers", client.obey(JsonParser.parseString(line).getAsJsonObject()));
      } catch (Exception error) {
        answer = Map.of("error", error.toString());
      }
      System.out.println(JSON.toJson(answer));
    }
  }

  private List<Object> obey(JsonObject order) throws Exception {
    if (order.has("port")) {
      connect(order);
    }
    if (order.has("pipelined")) {
      throw new IllegalArgumentException("this library does not pipeline");
    }
    Object client = client(order);
    List<Object> answers = new ArrayList<>();
    for (JsonElement call : order.getAsJsonArray("calls")) {
      answers.add(answer(client, call.getAsJsonArray()));
    }
    return answers;
  }

  private void connect(JsonObject order) throws Exception {
    if (transport != null) {
      transport.close();
    }
    TTransport socket =
        new TSocket(new TConfiguration(), "127.0.0.1", order.get("port").getAsInt(), 0);
    transport = Forms.transport(text(order, "transport", "framed")).getTransport(socket);
    transport.open();
    protocol = Forms.protocol(text(order, "protocol", "binary")).getProtocol(transport);
  }

  private Object client(JsonObject order) {
    String service = text(order, "service", null);
    TProtocol spoken = service == null ? protocol : new TMultiplexedProtocol(protocol, service);
    if ("Twin".equals(service)) {
      return new Twin.Client(spoken);
    }
    return order.has("newer") ? new Newer.Client(spoken) : new Probe.Client(spoken);
  }

  private static Map<String, ?> answer(Object client, JsonArray call) {
    try {
      return answered(plain(invoke(client, call)));
    } catch (Refused refused) {
      return Map.of("refused", Map.of("code", refused.getCode(), "why", refused.getWhy()));
    } catch (TApplicationException error) {
      Map<String, Object> application = new LinkedHashMap<>();
      application.put("type", error.getType());
      application.put("message", error.getMessage());
      return Map.of("application", application);
    } catch (Exception error) {
      return Map.of("error", error.toString());
    }
  }

  private static Map<String, Object> answered(Object value) {
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("value", value);
    return answer;
  }

  private static Object invoke(Object client, JsonArray call) throws Exception {
    String name = call.get(0).getAsString();
    for (Method method : client.getClass().getMethods()) {
      if (!method.getName().equals(name)) {
        continue;
      }
      Object[] values = new Object[call.size() - 1];
      for (int at = 0; at < values.length; at++) {
        values[at] = value(call.get(at + 1), method.getGenericParameterTypes()[at]);
      }
      try {
        return method.invoke(client, values);
      } catch (InvocationTargetException thrown) {
        if (thrown.getCause() instanceof Exception cause) {
          throw cause;
        }
        throw thrown;
      }
    }
    throw new IllegalArgumentException("no method " + name);
  }

  private static Object value(JsonElement json, java.lang.reflect.Type type) {
    return type == Record.class ? record(json.getAsJsonObject()) : JSON.fromJson(json, type);
  }

  private static Record record(JsonObject fields) {
    Record record = new Record();
    for (Map.Entry<String, JsonElement> field : fields.entrySet()) {
      Record._Fields name = Record._Fields.findByName(field.getKey());
      record.setFieldValue(
          name,
          switch (name) {
            case TEXT -> field.getValue().getAsString();
            case NUMBER -> field.getValue().getAsInt();
            case RATIO -> field.getValue().getAsDouble();
            case WORDS -> JSON.fromJson(field.getValue(), new TypeToken<List<String>>() {});
            case COUNTS -> JSON.fromJson(field.getValue(), new TypeToken<Map<String, Integer>>() {});
            case FLAGS -> JSON.fromJson(field.getValue(), new TypeToken<List<Boolean>>() {});
          });
    }
    return record;
  }

  private static Object plain(Object value) {
    if (!(value instanceof Record record)) {
      return value;
    }
    Map<String, Object> fields = new LinkedHashMap<>();
    for (Record._Fields field : Record._Fields.values()) {
      if (record.isSet(field)) {
        fields.put(field.getFieldName(), record.getFieldValue(field));
      }
    }
    return fields;
  }

  private static String text(JsonObject order, String name, String otherwise) {
    return order.has(name) && !order.get(name).isJsonNull()
        ? order.get(name).getAsString()
        : otherwise;
  }
}
