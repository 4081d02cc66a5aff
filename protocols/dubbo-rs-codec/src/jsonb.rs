//! JSONB, the binary form of fastjson2, as far as a proxy needs it: strings, numbers, maps of
//! strings, and skipping. In a Dubbo body each value stands behind its length in four bytes.

mod reader;
mod skip;
mod writer;

pub use reader::{Frames, Reader};
pub use writer::{write_framed, write_int, write_null, write_string, write_string_map};

const CHAR: u8 = 0x90;
const BINARY: u8 = 0x91;
const TYPED: u8 = 0x92;
const REFERENCE: u8 = 0x93;
const ARRAY_FIX_MIN: u8 = 0x94;
const ARRAY_FIX_MAX: u8 = 0xa3;
const ARRAY: u8 = 0xa4;
const OBJECT_END: u8 = 0xa5;
const OBJECT: u8 = 0xa6;
const LOCAL_TIME: u8 = 0xa7;
const LOCAL_DATETIME: u8 = 0xa8;
const LOCAL_DATE: u8 = 0xa9;
const TIMESTAMP_WITH_TIMEZONE: u8 = 0xaa;
const TIMESTAMP_MILLIS: u8 = 0xab;
const TIMESTAMP_SECONDS: u8 = 0xac;
const TIMESTAMP_MINUTES: u8 = 0xad;
const TIMESTAMP: u8 = 0xae;
pub(crate) const NULL: u8 = 0xaf;
const FALSE: u8 = 0xb0;
const TRUE: u8 = 0xb1;
const DOUBLE_NUM_0: u8 = 0xb2;
const DOUBLE_NUM_1: u8 = 0xb3;
const DOUBLE_LONG: u8 = 0xb4;
const DOUBLE: u8 = 0xb5;
const FLOAT_INT: u8 = 0xb6;
const FLOAT: u8 = 0xb7;
const DECIMAL_LONG: u8 = 0xb8;
const DECIMAL: u8 = 0xb9;
const BIGINT_LONG: u8 = 0xba;
const BIGINT: u8 = 0xbb;
const INT16: u8 = 0xbc;
const INT8: u8 = 0xbd;
const INT64: u8 = 0xbe;
const INT64_INT: u8 = 0xbf;
const INT32: u8 = 0x48;
const STR_ASCII_FIX_MIN: u8 = 0x49;
const STR_ASCII_FIX_MAX: u8 = 0x78;
const STR_ASCII: u8 = 0x79;
const STR_UTF8: u8 = 0x7a;
const STR_UTF16: u8 = 0x7b;
const STR_UTF16LE: u8 = 0x7c;
const STR_UTF16BE: u8 = 0x7d;
const STR_GB18030: u8 = 0x7e;
const SYMBOL: u8 = 0x7f;
