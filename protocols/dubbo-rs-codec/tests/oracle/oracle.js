// Encodes and decodes Hessian 2 with hessian.js: a JSON array of jobs in, one of answers out.
//
//   {"encode": [VALUE...]}  ->  {"hex": "..."}     the values one after another, as in one body
//   {"decode": "HEX"}       ->  {"value": ...}     one value; a map becomes an object
//
// VALUE is {"t": TYPE, "v": ...}; see `javaValue`.
'use strict';

const hessian = require('hessian.js');

function javaValue({ t, v, type }) {
  switch (t) {
    case 'null': return null;
    case 'bool': return v;
    case 'int': return v;
    case 'long': return { $class: 'java.lang.Long', $: v };
    case 'double': return { $class: 'java.lang.Double', $: v };
    case 'date': return new Date(v);
    case 'text': return v;
    case 'bytes': return Buffer.from(v, 'hex');
    case 'list': return type ? { $class: type, $: v.map(javaValue) } : v.map(javaValue);
    case 'map': {
      const map = new Map(v.map(([key, value]) => [javaValue(key), javaValue(value)]));
      return type ? { $class: type, $: map } : map;
    }
    case 'object': {
      const fields = {};
      v.forEach((value, at) => { fields['field' + at] = javaValue(value); });
      return { $class: type, $: fields };
    }
    default: throw new Error('unknown type ' + t);
  }
}

function encode(values) {
  const encoder = new hessian.EncoderV2({ size: 1 << 20 });
  for (const value of values) encoder.write(javaValue(value));
  return { hex: encoder.get().toString('hex') };
}

function decode(hex) {
  const value = new hessian.DecoderV2(Buffer.from(hex, 'hex')).read();
  return { value };
}

let input = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => { input += chunk; });
process.stdin.on('end', () => {
  const answers = JSON.parse(input).map((job) => job.encode ? encode(job.encode) : decode(job.decode));
  process.stdout.write(JSON.stringify(answers));
});
