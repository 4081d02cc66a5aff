// A client of Apache's Node library. A line of standard input is a JSON object, and so is its answer:
//
// {"port": 9090, "transport": "framed", "protocol": "binary", "service": "Twin", "calls": [["label"]]}
//
// With `port` it connects anew; `service` makes the calls multiplexed; `pipelined` sends all before it reads.
// `newer` calls as a client whose IDL has more methods.
"use strict";

const readline = require("readline");
const thrift = require("thrift");
const { options } = require("./common");
const Newer = require("./gen/Newer");
const Probe = require("./gen/Probe");
const Twin = require("./gen/Twin");
const { Record, Refused } = require("./gen/probe_types");

function connect(order) {
  const { port, transport = "framed", protocol = "binary" } = order;
  const connection = thrift.createConnection("127.0.0.1", port, options(transport, protocol));
  // The library leaves a call pending for ever whose connection is lost.
  const lost = new Promise((answer) => {
    connection.on("error", (error) => answer(failure(error)));
    connection.on("close", () => answer({ error: "closed" }));
  });
  return { connection, lost, clients: new Map() };
}

// A connection holds one client of each service, which counts its calls.
function clientOf({ connection, clients }, order) {
  const { service, newer } = order;
  const key = `${service}-${newer}`;
  if (!clients.has(key)) {
    const module = service === "Twin" ? Twin : newer ? Newer : Probe;
    const made = service
      ? new thrift.Multiplexer().createClient(service, module, connection)
      : thrift.createClient(module, connection);
    clients.set(key, made);
  }
  return clients.get(key);
}

function plain(value) {
  if (!(value instanceof Record)) return value === undefined ? null : value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

function failure(error) {
  if (error instanceof Refused) return { refused: { code: error.code, why: error.why } };
  if (error instanceof thrift.Thrift.TApplicationException) {
    return { application: { type: error.type, message: error.message } };
  }
  // Where an answer is of no kind that it knows, the library rejects with a string.
  return { error: String(error) };
}

function call(session, client, [method, ...values]) {
  const sent = values.map((value) => (method === "echoRecord" ? new Record(value) : value));
  const made = client[method](...sent);
  // Oneway calls give no promise.
  const answered = Promise.resolve(made).then((value) => ({ value: plain(value) }), failure);
  return Promise.race([answered, session.lost]);
}

async function obey(session, order) {
  const client = clientOf(session, order);
  if (order.pipelined) {
    return Promise.all(order.calls.map((each) => call(session, client, each)));
  }
  const answers = [];
  for (const each of order.calls) answers.push(await call(session, client, each));
  return answers;
}

async function main() {
  let session = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.port) {
      if (session) session.connection.end();
      session = connect(order);
    }
    const answers = await obey(session, order);
    process.stdout.write(`${JSON.stringify({ answers })}\n`);
  }
  if (session) session.connection.end();
}

main();
