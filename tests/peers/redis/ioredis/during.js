'use strict';
// Which test something happens in, or because of, however much later: `{ test, sockets, ended }`.

const { AsyncLocalStorage } = require('async_hooks');

exports.during = new AsyncLocalStorage();
