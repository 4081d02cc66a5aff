// What the peers of the end-to-end tests serve and call. Code is generated from it when they are built.
namespace java meltemi.peer.probe
namespace py probe

struct Record {
  1: optional string text
  2: optional i32 number
  3: optional double ratio
  4: optional list<string> words
  5: optional map<string, i32> counts
  6: optional list<bool> flags
}

exception Refused {
  1: i32 code
  2: string why
}

service Probe {
  /** Which server this is. */
  string label()

  string echoText(1: string text)
  i32 echoNumber(1: i32 number)
  double echoRatio(1: double ratio)
  Record echoRecord(1: Record record)
  list<string> echoWords(1: list<string> words)
  map<string, i32> echoCounts(1: map<string, i32> counts)
  list<bool> echoFlags(1: list<bool> flags)
  void nothing()

  /** That many bytes of `x`. */
  string produce(1: i32 size)
  /** How many bytes they are. */
  i32 measure(1: string text)

  /** Fails as it is declared. */
  string refuse(1: i32 code) throws (1: Refused refused)
  /** Fails as nobody declared. */
  string fail(1: string why)
  /** Fails so at the server of this label; of others it answers with the label. */
  string failAt(1: string label)

  /** Answers with the label, after so many milliseconds. */
  string slow(1: i32 delay)

  oneway void fire(1: string token)
  /** Counts as `fire` does, and answers. */
  void count(1: string token)
  /** How often `fire` and `count` were called with this token. */
  i32 fired(1: string token)
}

/** The second service of a multiplexed server. */
service Twin {
  string label()
  string twice(1: string text)
}

/** What a client may have been built with before the servers were. */
service Newer extends Probe {
  string notYet()
}
