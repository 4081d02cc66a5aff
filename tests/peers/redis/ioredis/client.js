'use strict';
// A client of ioredis, of the release that `IOREDIS` names. A line of standard input is a JSON object, and so is its
// answer:
//
// {"port": 6379, "calls": [["GET", "key"]]}
//
// With `port` it connects anew.

const readline = require('readline');
const Redis = require(process.env.IOREDIS);

async function answer(client, call) {
  try {
    const value = await client.call(...call);
    return { value: value === null ? null : String(value) };
  } catch (error) {
    return { class: error.name, message: error.message };
  }
}

async function main() {
  let client = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.port) {
      if (client) client.disconnect();
      // Nothing is tried twice, and nothing asked for that was not ordered.
      client = new Redis(order.port, '127.0.0.1', {
        maxRetriesPerRequest: 0,
        retryStrategy: null,
        enableReadyCheck: false,
      });
      client.on('error', (error) => console.error(error));
    }
    const answers = [];
    for (const call of order.calls) answers.push(await answer(client, call));
    process.stdout.write(`${JSON.stringify({ answers })}\n`);
  }
}

main();
