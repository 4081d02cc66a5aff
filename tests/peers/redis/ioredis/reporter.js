'use strict';
// A line for each test: its verdict, its name, and why it failed. One that passes without the server is `IDLE`.

const path = require('path');
const { during } = require('./during');

module.exports = function (runner) {
  let current;
  const begin = (test) => {
    current = { test, sockets: [], ended: false };
    during.enterWith(current);
  };
  const tell = (verdict, test, reason = '') => {
    const name = `${path.basename(test.file ?? '')} ${test.fullTitle()}`;
    console.log([verdict, name, String(reason).split('\n')[0]].join('\t'));
  };
  // Tests leave clients behind, monitors among them. What these throw in another test's time is not its failure.
  const uncaught = runner.uncaught;
  runner.uncaught = (error) => {
    if (current.test && during.getStore() === current) uncaught(error);
  };
  runner.on('suite', () => begin());
  runner.on('test', (test) => begin(test));
  runner.on('pass', (test) => tell(current.sockets.length > 0 ? 'PASSED' : 'IDLE', test));
  runner.on('fail', (test, error) => {
    if (test === current.test || test.type === 'hook') tell('FAILED', test, error.message);
  });
  runner.on('test end', () => {
    current.ended = true;
    current.sockets.forEach((socket) => socket.destroy());
    begin();
  });
  runner.on('end', () => process.exit());
};
