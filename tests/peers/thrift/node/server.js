// A server of Apache's Node library: `server.js --label L TRANSPORT:PROTOCOL[:multiplexed][@PORT]...`
//
// It prints one line with all ports, and then one for each call of `slow` when it begins.
"use strict";

const thrift = require("thrift");
const { options } = require("./common");
const Probe = require("./gen/Probe");
const Twin = require("./gen/Twin");
const { Refused } = require("./gen/probe_types");

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function handler(label) {
  const tokens = new Map();
  const echo = (value) => value;
  const count = (token) => {
    tokens.set(token, (tokens.get(token) || 0) + 1);
  };
  return {
    label: () => label,
    echoText: echo,
    echoNumber: echo,
    echoRatio: echo,
    echoRecord: echo,
    echoWords: echo,
    echoCounts: echo,
    echoFlags: echo,
    nothing() {},
    produce: (size) => "x".repeat(size),
    measure: (text) => Buffer.byteLength(text),
    async refuse(code) {
      throw new Refused({ code, why: `${label} refuses` });
    },
    async fail(why) {
      throw new Error(why);
    },
    async failAt(failing) {
      if (failing === label) throw new Error(`${label} fails`);
      return label;
    },
    slow(delay) {
      say({ slow: delay });
      return new Promise((answer) => setTimeout(() => answer(label), delay));
    },
    fire: count,
    count,
    fired: (token) => tokens.get(token) || 0,
  };
}

const twin = (label) => ({ label: () => `${label}-twin`, twice: (text) => text + text });

function processor(label, probe, multiplexed) {
  const plain = new Probe.Processor(probe);
  if (!multiplexed) return plain;
  const both = new thrift.MultiplexedProcessor();
  both.registerProcessor("Probe", plain);
  both.registerProcessor("Twin", new Twin.Processor(twin(label)));
  return both;
}

function serve(spec, label, probe) {
  const [form, port] = spec.split("@");
  const [transport, protocol, multiplexed] = form.split(":");
  const server = thrift.createMultiplexServer(
    processor(label, probe, multiplexed),
    options(transport, protocol),
  );
  server.on("error", (error) => console.error(`${form}: ${error}`));
  return new Promise((ready) => {
    server.listen(Number(port || 0), "127.0.0.1", () => ready([form, server.address().port]));
  });
}

async function main([option, label, ...specs]) {
  if (option !== "--label") throw new Error("--label L comes first");
  const probe = handler(label);
  const forms = specs.length > 0 ? specs : ["framed:binary@9090"];
  const ports = await Promise.all(forms.map((spec) => serve(spec, label, probe)));
  say({ ports: Object.fromEntries(ports) });
}

main(process.argv.slice(2));
