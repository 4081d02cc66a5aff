'use strict';
// What the tests of ioredis 2.4 expect around them, in place of their own helpers: any version of the client,
// connected to any server, and no servers of their own.

const net = require('net');
const sinon = require('sinon');
const { during } = require('./during');

// Else it runs what one test waits for in the name of another.
require('bluebird').config({ asyncHooks: true });

const [host, port] = process.env.REDIS_ADDRESS.split(':');
const Redis = require(process.env.IOREDIS);

// The tests know of one server only, on the port that is the client's default.
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  // `net.connect` has made a list of its arguments.
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const test = during.getStore();
  const known = options.port === 6379 && ['localhost', '127.0.0.1'].includes(options.host);
  if (known && !test.ended) {
    test.sockets.push(this);
    Object.assign(options, { host, port: Number(port) });
  } else {
    // Nobody listens there.
    Object.assign(options, { host, port: 1 });
  }
  return connect.apply(this, args);
};

global.expect = require('chai').expect;
global.spy = sinon.spy.bind(sinon);
global.stub = sinon.stub.bind(sinon);
global.mock = sinon.mock.bind(sinon);
global.Redis = Redis;
global.MockServer = function () {
  throw new Error('a test against a server of its own');
};
// The promises of newer versions are not Bluebird's.
Promise.prototype.nodeify = function (callback) {
  return this.then((value) => callback(null, value), callback);
};

exports.mochaHooks = {
  afterEach(done) {
    const redis = new Redis();
    redis.flushall(() => redis.script('flush', () => {
      redis.disconnect();
      done();
    }));
  },
};
