package meltemi.peer;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import meltemi.peer.probe.Probe;
import meltemi.peer.probe.Record;
import meltemi.peer.probe.Refused;

final class Handler implements Probe.Iface {
  private final String label;
  private final Map<String, Integer> tokens = new ConcurrentHashMap<>();

  Handler(String label) {
    this.label = label;
  }

  @Override
  public String label() {
    return label;
  }

  @Override
  public String echoText(String text) {
    return text;
  }

  @Override
  public int echoNumber(int number) {
    return number;
  }

  @Override
  public double echoRatio(double ratio) {
    return ratio;
  }

  @Override
  public Record echoRecord(Record record) {
    return record;
  }

  @Override
  public List<String> echoWords(List<String> words) {
    return words;
  }

  @Override
  public Map<String, Integer> echoCounts(Map<String, Integer> counts) {
    return counts;
  }

  @Override
  public List<Boolean> echoFlags(List<Boolean> flags) {
    return flags;
  }

  @Override
  public void nothing() {}

  @Override
  public String produce(int size) {
    return "x".repeat(size);
  }

  @Override
  public int measure(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length;
  }

  @Override
  public String refuse(int code) throws Refused {
    throw new Refused(code, label + " refuses");
  }

  @Override
  public String fail(String why) {
    throw new IllegalStateException(why);
  }

  @Override
  public String failAt(String failing) {
    return failing.equals(label) ? fail(label + " fails") : label;
  }

  @Override
  public String slow(int delay) {
    System.out.println("{\"slow\": " + delay + "}");
    try {
      Thread.sleep(delay);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    return label;
  }

  @Override
  public void fire(String token) {
    tokens.merge(token, 1, Integer::sum);
  }

  @Override
  public void count(String token) {
    fire(token);
  }

  @Override
  public int fired(String token) {
    return tokens.getOrDefault(token, 0);
  }
}
