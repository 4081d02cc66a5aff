use meltemi_codec::{Frame, Memo, Outcome};

use super::{BROKEN, How, PLAIN, merge};

fn merged(how: &How, parts: &[&str]) -> (String, Outcome) {
    let memo = Memo::default();
    let frames: Vec<Frame<'_>> = parts
        .iter()
        .map(|part| Frame {
            bytes: part.as_bytes(),
            whole: true,
            memo: &memo,
        })
        .collect();
    let mut out = b"before".to_vec();
    let outcome = merge(&how.seal(), &frames, &mut out);
    let out = String::from_utf8(out).unwrap();
    (out.strip_prefix("before").unwrap().to_owned(), outcome)
}

fn check(cases: &[(&How, &[&str], &str)]) {
    for (how, parts, expected) in cases {
        let expected = ((*expected).to_owned(), Outcome::Ok { code: 0 });
        assert_eq!(merged(how, parts), expected, "{how:?} of {parts:?}");
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

#[test]
fn what_is_sealed_can_be_opened() {
    let others = [
        How::Random(u32::MAX),
        How::Text("a:1\nb:2".to_owned()),
        How::Keyed(vec![0, 1, 70_000]),
        How::Scan {
            shard: 3,
            next: None,
        },
        How::Scan {
            shard: 3,
            next: Some(4),
        },
    ];
    for how in PLAIN.iter().chain(&others) {
        assert_eq!(How::open(&how.seal()).as_ref(), Some(how));
    }
}

#[test]
fn numbers_are_added_up_and_compared() {
    check(&[
        (&How::Sum, &[":1\r\n", ":2\r\n", ":3\r\n"], ":6\r\n"),
        (
            &How::Sum,
            &[":9223372036854775807\r\n", ":1\r\n"],
            ":9223372036854775807\r\n",
        ),
        (&How::Min, &[":4\r\n", ":2\r\n", ":3\r\n"], ":2\r\n"),
        (&How::Max, &[":4\r\n", ":2\r\n", ":5\r\n"], ":5\r\n"),
        (&How::And, &[":1\r\n", ":1\r\n"], ":1\r\n"),
        (&How::And, &[":1\r\n", ":0\r\n"], ":0\r\n"),
        (&How::Or, &[":0\r\n", ":1\r\n"], ":1\r\n"),
        (&How::Or, &[":0\r\n", ":0\r\n"], ":0\r\n"),
        (
            &How::And,
            &["*3\r\n:1\r\n:0\r\n:1\r\n", "*3\r\n:1\r\n:1\r\n:0\r\n"],
            "*3\r\n:1\r\n:0\r\n:0\r\n",
        ),
    ]);
}

#[test]
fn one_answer_stands_for_all() {
    check(&[
        (&How::AllSucceeded, &["+OK\r\n", "+OK\r\n"], "+OK\r\n"),
        (
            &How::AllSucceeded,
            &["$2\r\nab\r\n", "$2\r\nab\r\n"],
            "$2\r\nab\r\n",
        ),
        (
            &How::OneSucceeded,
            &["-NOTBUSY x\r\n", "+OK\r\n"],
            "+OK\r\n",
        ),
    ]);
}

#[test]
fn elements_are_put_together() {
    let keyed = How::Keyed(vec![1, 0, 1]);
    check(&[
        (
            &keyed,
            &["*1\r\n$-1\r\n", "*2\r\n$3\r\n\r\n1\r\n$0\r\n\r\n"],
            "*3\r\n$3\r\n\r\n1\r\n$-1\r\n$0\r\n\r\n",
        ),
        (
            &How::Concat,
            &["*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*0\r\n", "*1\r\n$-1\r\n"],
            "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n",
        ),
        (
            &How::Concat,
            &["~1\r\n+a\r\n", "~1\r\n+b\r\n"],
            "~2\r\n+a\r\n+b\r\n",
        ),
        (
            &How::Concat,
            &["%1\r\n+a\r\n:1\r\n", "%1\r\n+b\r\n*1\r\n_\r\n"],
            "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
        ),
        (
            &How::Concat,
            &["*?\r\n+a\r\n.\r\n", "*1\r\n+b\r\n"],
            "*2\r\n+a\r\n+b\r\n",
        ),
        (&How::Concat, &[":7\r\n", ":8\r\n"], ":7\r\n"),
        (
            &How::Union,
            &["*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+c\r\n"],
            "*3\r\n+a\r\n+b\r\n+c\r\n",
        ),
        (
            &How::Counts,
            &[
                "*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
                "*4\r\n+a\r\n:3\r\n+b\r\n:4\r\n",
            ],
            "*4\r\n+a\r\n:4\r\n+b\r\n:6\r\n",
        ),
        (
            &How::Counts,
            &["%1\r\n+a\r\n:1\r\n", "%1\r\n+a\r\n:3\r\n"],
            "%1\r\n+a\r\n:4\r\n",
        ),
        (&How::Counts, &["*0\r\n", "*0\r\n"], "*0\r\n"),
    ]);
}

#[test]
fn the_answer_of_some_shard_is_chosen() {
    check(&[
        (&How::Random(0), &["$-1\r\n", "+a\r\n", "+b\r\n"], "+a\r\n"),
        (&How::Random(1), &["$-1\r\n", "+a\r\n", "+b\r\n"], "+b\r\n"),
        (&How::Random(2), &["_\r\n", "+a\r\n", "+b\r\n"], "+a\r\n"),
        (&How::Random(2), &["_\r\n", "_\r\n"], "_\r\n"),
        (
            &How::Running,
            &[
                "*2\r\n+running_script\r\n*-1\r\n",
                "*2\r\n+running_script\r\n*1\r\n+x\r\n",
            ],
            "*2\r\n+running_script\r\n*1\r\n+x\r\n",
        ),
        (
            &How::Running,
            &[
                "%1\r\n+running_script\r\n_\r\n",
                "%1\r\n+running_script\r\n_\r\n",
            ],
            "%1\r\n+running_script\r\n_\r\n",
        ),
        (
            &How::AllSucceeded,
            &["|1\r\n+ttl\r\n:3\r\n+OK\r\n", "+OK\r\n"],
            "|1\r\n+ttl\r\n:3\r\n+OK\r\n",
        ),
    ]);
}

#[test]
fn an_error_of_one_shard_is_the_error_of_all() {
    let error = "-LOADING Redis is loading the dataset in memory\r\n";
    let cases = [
        (How::Sum, ":1\r\n"),
        (How::AllSucceeded, "+OK\r\n"),
        (How::Concat, "*0\r\n"),
        (How::Keyed(vec![0, 1]), "*1\r\n+a\r\n"),
        (How::Random(0), "+a\r\n"),
        (How::Info, "$2\r\na\n\r\n"),
    ];
    for (how, good) in cases {
        let (answer, outcome) = merged(&how, &[good, error, "-ERR later\r\n"]);
        assert_eq!(answer, error, "{how:?}");
        assert_eq!(outcome, Outcome::ApplicationError { code: 0 });
    }
    let unasked = "-ERR proxy: no connection to 10.0.0.1:6379\r\n";
    let answer = merged(&How::Sum, &[":1\r\n", unasked]);
    assert_eq!(
        answer,
        (unasked.to_owned(), Outcome::RequestError { code: 0 })
    );
    let blob = "!5\r\nERR x\r\n";
    assert_eq!(merged(&How::Sum, &[":1\r\n", blob]).0, blob);
}

#[test]
fn where_no_shard_succeeded_the_most_telling_error_is_told() {
    let unkillable = "-UNKILLABLE Sorry the script already executed write commands\r\n";
    let idle = "-NOTBUSY No scripts in execution right now.\r\n";
    for (parts, expected) in [
        ([idle, idle], idle),
        ([idle, unkillable], unkillable),
        ([unkillable, idle], unkillable),
    ] {
        assert_eq!(merged(&How::OneSucceeded, &parts).0, expected);
    }
}

#[test]
fn answers_that_do_not_fit_are_an_error() {
    let broken = format!("-{}\r\n", str::from_utf8(BROKEN).unwrap());
    let cases: &[(How, &[&str])] = &[
        (How::Sum, &[":1\r\n", "+OK\r\n"]),
        (How::Sum, &["*1\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n"]),
        (How::Sum, &[":1\r\n", "*1\r\n:1\r\n"]),
        (How::Sum, &[":1\r\n", ""]),
        (How::Sum, &[":1\r\n", "nonsense"]),
        (How::Sum, &[]),
        (How::AllSucceeded, &[]),
        (How::Concat, &["*0\r\n", ":1\r\n"]),
        (How::Counts, &["*2\r\n+a\r\n:1\r\n", "*2\r\n+b\r\n:1\r\n"]),
        (How::Counts, &["*2\r\n+a\r\n:1\r\n", "*0\r\n"]),
        (How::Counts, &["*1\r\n+a\r\n"]),
        (How::Keyed(vec![0, 1]), &["*1\r\n+a\r\n", "*0\r\n"]),
        (
            How::Keyed(vec![0, 1]),
            &["*1\r\n+a\r\n", "*2\r\n+a\r\n+b\r\n"],
        ),
        (How::Keyed(vec![0, 1]), &["*1\r\n+a\r\n", "+b\r\n"]),
        (How::Keyed(vec![0, 5]), &["*1\r\n+a\r\n"]),
        (How::Info, &["*0\r\n"]),
        (How::Text("a".to_owned()), &[":1\r\n"]),
        (
            How::Scan {
                shard: 0,
                next: None,
            },
            &["*1\r\n+0\r\n"],
        ),
    ];
    for (how, parts) in cases {
        let (answer, outcome) = merged(how, parts);
        assert_eq!(answer, broken, "{how:?} of {parts:?}");
        assert_eq!(outcome, Outcome::SystemError { code: 0 });
    }
}

#[test]
fn a_cursor_leads_through_all_shards() {
    let first = How::Scan {
        shard: 0,
        next: Some(1),
    };
    let last = How::Scan {
        shard: 2,
        next: None,
    };
    let cases = [
        (&first, "17", "17"),
        (&first, "0", "281474976710656"),
        (&last, "17", "562949953421329"),
        (&last, "0", "0"),
    ];
    for (how, server, client) in cases {
        let answer = format!("*2\r\n{}*1\r\n$1\r\na\r\n", bulk(server));
        let expected = format!("*2\r\n{}*1\r\n$1\r\na\r\n", bulk(client));
        assert_eq!(merged(how, &[&answer]).0, expected, "{how:?} {server}");
    }
    let far = format!("*2\r\n{}*0\r\n", bulk("281474976710656"));
    assert!(merged(&first, &[&far]).0.starts_with("-ERR proxy: "));
}

#[test]
fn reports_stand_under_the_names_of_their_nodes() {
    let how = How::Text("h1:1\nh2:2".to_owned());
    let expected = "# h1:1\nfine\n# h2:2\nbad\n";
    assert_eq!(
        merged(&how, &[&bulk("fine"), &bulk("bad\n")]).0,
        bulk(expected)
    );
    let verbatim = merged(&how, &["=8\r\ntxt:fine\r\n", "=8\r\ntxt:bad\n\r\n"]).0;
    let len = expected.len() + 4;
    assert_eq!(verbatim, format!("={len}\r\ntxt:{expected}\r\n"));
}

#[test]
fn info_has_sums_where_sums_mean_something() {
    let first = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:5\r\n\r\n# Clients\r\n\
                 connected_clients:3\r\n\r\n# Memory\r\nused_memory:1048576\r\n\
                 used_memory_human:1.00M\r\n\r\n# Keyspace\r\n\
                 db0:keys=2,expires=1,avg_ttl=100\r\n\r\n# Modules\r\n";
    let second = "redis_version:7.0.14\r\nuptime_in_seconds:9\r\nconnected_clients:4\r\n\
                  used_memory:1048576\r\nused_memory_human:1.00M\r\n\
                  db0:keys=3,expires=3,avg_ttl=200\r\ndb7:keys=1,expires=0,avg_ttl=0\r\n";
    let expected = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:5\r\n\r\n# Clients\r\n\
                    connected_clients:7\r\n\r\n# Memory\r\nused_memory:2097152\r\n\
                    used_memory_human:2.00M\r\n\r\n# Keyspace\r\n\
                    db0:keys=5,expires=4,avg_ttl=175\r\ndb7:keys=1,expires=0,avg_ttl=0\r\n\r\n\
                    # Modules\r\n";
    assert_eq!(
        merged(&How::Info, &[&bulk(first), &bulk(second)]).0,
        bulk(expected)
    );
    let empty = bulk("# Keyspace\r\n");
    let keys = bulk("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n");
    assert_eq!(merged(&How::Info, &[&empty, &keys]).0, keys);
}
