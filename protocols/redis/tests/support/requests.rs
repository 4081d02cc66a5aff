//! Requests of every command, to find the keys of.

use meltemi_redis::command::{Begin, Command, Find, RequestPolicy, all};

/// Requests whose shape no rule makes.
const WRITTEN: &[&str] = &[
    "EVAL script 0",
    "EVAL script 0 arg",
    "EVAL script 2 a b arg",
    "EVAL script 3 a b",
    "EVAL script x a b",
    "EVAL script -1 a",
    "EVALSHA sha 1 a",
    "EVAL_RO script 1 a arg arg",
    "EVALSHA_RO sha 2 a b",
    "FCALL f 0 arg",
    "FCALL f 1 a arg",
    "FCALL_RO f 2 a b",
    "XREAD STREAMS a 0",
    "XREAD COUNT 2 BLOCK 0 STREAMS a b 0 0",
    "XREAD count 2 streams a b c 0 0 $",
    "XREAD STREAMS a b 0",
    "XREADGROUP GROUP g c STREAMS a >",
    "XREADGROUP GROUP streams streams COUNT 1 NOACK STREAMS a b > >",
    "SORT a",
    "SORT a STORE b",
    "SORT a BY w_* LIMIT 0 5 GET # GET v_* DESC ALPHA STORE b",
    "SORT a BY store STORE b",
    "SORT a STORE b STORE c",
    "SORT a GET STORE",
    "SORT a STORE",
    "SORT_RO a BY w_* GET STORE",
    "GEORADIUS a 1 2 3 km",
    "GEORADIUS a 1 2 3 km COUNT 1 STORE b",
    "GEORADIUS a 1 2 3 km STOREDIST b",
    "GEORADIUS a 1 2 3 km STORE b STOREDIST c",
    "GEORADIUSBYMEMBER a m 3 km store b",
    "GEORADIUSBYMEMBER a STORE 3 km",
    "GEORADIUS_RO a 1 2 3 km",
    "GEOSEARCHSTORE b a FROMMEMBER m BYRADIUS 1 km",
    "MIGRATE host 6379 a 0 5000",
    "MIGRATE host 6379 a 0 5000 COPY REPLACE",
    "MIGRATE host 6379  0 5000 KEYS a",
    "MIGRATE host 6379  0 5000 COPY AUTH keys KEYS a b c",
    "MIGRATE host 6379  0 5000 AUTH2 keys keys KEYS a keys b",
    "BITOP NOT b a",
    "BITOP AND d a b c",
    "ZUNIONSTORE d 2 a b",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2 AGGREGATE MAX",
    "ZINTERSTORE d 1 a",
    "ZDIFFSTORE d 3 a b c",
    "ZUNION 2 a b WITHSCORES",
    "ZINTERCARD 2 a b LIMIT 3",
    "SINTERCARD 2 a b LIMIT 3",
    "LMPOP 2 a b LEFT COUNT 3",
    "BLMPOP 0 2 a b LEFT",
    "BZMPOP 0 1 a MIN",
    "ZMPOP 3 a b c MAX",
    "BLPOP a b c 0",
    "BRPOP a 0",
    "BZPOPMIN a b 0",
    "BLMOVE a b LEFT RIGHT 0",
    "BRPOPLPUSH a b 0",
    "MSET a 1 b 2 c 3",
    "MSET a 1 b",
    "MSETNX a 1 b 2",
    "PFMERGE d",
    "PFMERGE d a b",
    "PFCOUNT a b",
    "RENAME a b",
    "COPY a b DB 1 REPLACE",
    "LCS a b LEN",
    "SMOVE a b m",
    "OBJECT ENCODING a",
    "OBJECT freq a",
    "MEMORY USAGE a SAMPLES 3",
    "XGROUP CREATE a g $ MKSTREAM",
    "XINFO STREAM a FULL",
    "XINFO CONSUMERS a g",
    "WATCH a b",
    "TOUCH a b",
    "DEBUG OBJECT a",
    "CONFIG GET maxmemory",
    "PUBLISH a m",
];

/// The written ones, and of every command some that its arity and key specifications suggest.
pub(crate) fn requests() -> Vec<Vec<String>> {
    let written = WRITTEN
        .iter()
        .map(|request| request.split(' ').map(str::to_owned).collect());
    let commands = all().iter().flat_map(|command| {
        let own = command.subcommands.is_empty().then_some(command);
        own.into_iter().chain(command.subcommands)
    });
    written.chain(commands.flat_map(suggested)).collect()
}

/// One with as few arguments as it takes, but two keys where it takes any number.
pub(crate) fn plain(command: &Command) -> Vec<String> {
    let mut argc = usize::from(command.arity.unsigned_abs());
    if command.arity < 0 && command.request == RequestPolicy::MultiShard {
        argc = argc * 2 - 1;
    }
    fill(command, argc, 1)
}

fn suggested(command: &Command) -> Vec<Vec<String>> {
    let least = usize::from(command.arity.unsigned_abs());
    let most = if command.arity < 0 { least + 5 } else { least };
    (least..=most)
        .flat_map(|argc| [1, 2].map(|count| fill(command, argc, count)))
        .collect()
}

/// Arguments that differ, with a number where keys are counted and a word where it announces them.
fn fill(command: &Command, argc: usize, count: usize) -> Vec<String> {
    let mut request: Vec<String> = command.name.split('|').map(str::to_owned).collect();
    for index in request.len()..argc {
        request.push(format!("argument{index}"));
    }
    let mut put = |index: usize, text: String| {
        if let Some(place) = request.get_mut(index) {
            *place = text;
        }
    };
    for spec in command.keys {
        if let Begin::Keyword { word, from } = &spec.begin {
            put(usize::try_from(*from).unwrap(), word.to_string());
        }
        if let (Begin::Index(begin), Find::Keynum { number, .. }) = (&spec.begin, spec.find) {
            put(usize::from(begin + number), count.to_string());
        }
    }
    request
}
