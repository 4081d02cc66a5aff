//! Where commands go: keys, roles, plans, commands that the table does not know, edits.

use meltemi_codec::{Constraint, Edit, EditRefused, Frame, FromClient, Memo, Request, Role};
use meltemi_redis::cluster::slot::shard;

use crate::{
    legs::{Client, client, configured, whole},
    words::{array, cmd},
};

fn of(key: &str, role: Role) -> Constraint {
    shard(key.as_bytes(), true, role)
}

fn sent(line: &str) -> Request {
    client().request(line)
}

#[test]
fn a_command_goes_where_its_key_is() {
    for (line, key) in [
        ("GET {t}k", "{t}k"),
        ("SET k v", "k"),
        ("EVAL s 1 k x", "k"),
        ("XADD k * f v", "k"),
        ("OBJECT ENCODING k", "k"),
        ("SPUBLISH k m", "k"),
        ("XREAD COUNT 1 STREAMS k 0", "k"),
    ] {
        assert_eq!(sent(line).constraint, of(key, Role::Primary), "{line}");
    }
    for line in ["PING", "PUBLISH c m", "EVAL s 0", "TIME"] {
        assert_eq!(sent(line).constraint, Constraint::None, "{line}");
    }
}

#[test]
fn keys_with_one_tag_have_one_hash_unless_the_setting_says_otherwise() {
    let mut whole_keys = Client::of(&*configured(&[("hashTags", "false")]));
    assert_ne!(
        whole_keys.request("GET {t}a").constraint,
        whole_keys.request("GET {t}b").constraint
    );
    let hash = |line| match sent(line).constraint {
        Constraint::Shard { hash, .. } => hash,
        other => panic!("{other:?}"),
    };
    assert_eq!(hash("GET {t}a"), hash("GET {t}b"));
}

#[test]
fn several_keys_and_commands_for_all_are_planned() {
    for line in [
        "MGET a b",
        "DEL a b",
        "MSET a 1 b 2",
        "EXISTS a b",
        "TOUCH a b",
        "UNLINK a b",
        "RENAME a b",
        "SINTER a b",
        "SCAN 0",
        "DBSIZE",
        "FLUSHALL",
        "KEYS *",
        "RANDOMKEY",
        "SCRIPT LOAD x",
        "CONFIG SET a b",
        "INFO",
    ] {
        assert_eq!(sent(line).constraint, Constraint::Planned, "{line}");
    }
    assert_eq!(sent("MGET a").constraint, of("a", Role::Primary));
}

#[test]
fn reads_go_where_the_policy_says_and_may_be_repeated() {
    for (policy, role) in [
        ("MASTER", Role::Primary),
        ("PREFER_MASTER", Role::PreferPrimary),
        ("REPLICA", Role::Replica),
        ("PREFER_REPLICA", Role::PreferReplica),
        ("ANY", Role::Any),
    ] {
        let mut client = Client::of(&*configured(&[("readPolicy", policy)]));
        for (line, read) in [
            ("GET k", true),
            ("EVAL_RO s 1 k", true),
            ("SET k v", false),
            ("EVAL s 1 k", false),
        ] {
            let request = client.request(line);
            assert_eq!(request.idempotent, read, "{line}");
            let role = if read { role } else { Role::Primary };
            assert_eq!(request.constraint, of("k", role), "{policy}: {line}");
        }
    }
}

#[test]
fn a_client_that_said_readonly_reads_from_replicas() {
    let mut client = client();
    assert_eq!(client.told("READONLY"), "+OK\r\n");
    assert_eq!(
        client.request("GET k").constraint,
        of("k", Role::PreferReplica)
    );
    assert_eq!(client.request("SET k v").constraint, of("k", Role::Primary));
    assert_eq!(client.told("READWRITE"), "+OK\r\n");
    assert_eq!(client.request("GET k").constraint, of("k", Role::Primary));
    assert_eq!(client.told("ASKING"), "+OK\r\n");
    let mut proxied = Client::of(&*configured(&[("mode", "PROXY")]));
    proxied.request("READONLY");
}

#[test]
fn an_unknown_command_is_asked_for_once() {
    let info = "*1\r\n*6\r\n$8\r\njson.get\r\n:-2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n";
    let protocol = configured(&[]);
    let mut client = Client::of(&*protocol);
    let (own, event, _) = client.asks("JSON.GET doc $", Some(info));
    assert_eq!(own.bytes.as_ref(), cmd("COMMAND INFO JSON.GET"));
    let FromClient::Request(request) = event else {
        panic!("{event:?}");
    };
    assert_eq!(request.constraint, of("doc", Role::Primary));
    assert!(request.idempotent);
    let bytes = cmd("JSON.GET doc $");
    assert_eq!(
        client.attribute(&bytes, &request.memo, "key").as_deref(),
        Some("doc")
    );
    assert_eq!(
        client
            .attribute(&bytes, &request.memo, "command")
            .as_deref(),
        Some("json.get")
    );
    let mut another = Client::of(&*protocol);
    assert_eq!(
        another.request("json.get other").constraint,
        of("other", Role::Primary)
    );
}

#[test]
fn where_its_keys_move_the_server_finds_them_each_time() {
    let info =
        "*1\r\n*6\r\n$5\r\nx.run\r\n:-2\r\n*2\r\n+write\r\n+movablekeys\r\n:0\r\n:0\r\n:0\r\n";
    let mut client = client();
    let (own, event, _) = client.asks("X.RUN a b", Some(info));
    assert_eq!(own.bytes.as_ref(), cmd("COMMAND INFO X.RUN"));
    let FromClient::Ask(own) = event else {
        panic!("{event:?}");
    };
    assert_eq!(own.bytes.as_ref(), cmd("COMMAND GETKEYS X.RUN a b"));
    let memo = Memo::default();
    client.codec.learn(Some(whole(b"*1\r\n$1\r\nb\r\n", &memo)));
    assert_eq!(
        client.request("X.RUN a b").constraint,
        of("b", Role::Primary)
    );
    let (own, event, _) = client.asks("x.run c", None);
    assert_eq!(own.bytes.as_ref(), cmd("COMMAND GETKEYS x.run c"));
    assert!(
        matches!(event, FromClient::Request(request) if request.constraint == Constraint::None)
    );
}

#[test]
fn a_command_that_nobody_knows_has_no_keys() {
    for (answer, again) in [
        (Some("*1\r\n*-1\r\n"), false),
        (Some("*1\r\n_\r\n"), false),
        (Some("-NOPERM no permission\r\n"), true),
        (None, true),
    ] {
        let mut client = client();
        let (_, event, _) = client.asks("NOSUCH k", answer);
        let FromClient::Request(request) = event else {
            panic!("{event:?}");
        };
        assert_eq!(request.constraint, Constraint::None);
        let (next, _) = client.say("NOSUCH k");
        assert_eq!(matches!(next, FromClient::Ask(_)), again, "{answer:?}");
    }
}

fn stripped(line: &[u8], prefix: &str) -> Result<String, EditRefused> {
    let mut client = client();
    let (FromClient::Request(request), _) = client.raw(line) else {
        panic!("no request");
    };
    let edit = Edit::StripPrefix {
        name: "key".into(),
        prefix: prefix.into(),
        ignore_case: false,
    };
    let mut out = Vec::new();
    client
        .codec
        .edit(whole(line, &request.memo), &[edit], &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_prefix_is_removed_from_all_keys_and_nothing_else() {
    for (line, expected) in [
        ("GET a:k", "GET k"),
        ("GET b:k", "GET b:k"),
        ("MSET a:k a:v b:k a:v a:a:k x", "MSET k a:v b:k a:v a:k x"),
        ("EVAL a:s 2 a:k a:l a:x", "EVAL a:s 2 k l a:x"),
        ("ZUNIONSTORE a:d 2 a:x a:y", "ZUNIONSTORE d 2 x y"),
        ("XREAD STREAMS a:s a:t 0 0", "XREAD STREAMS s t 0 0"),
        ("SPUBLISH a:c m", "SPUBLISH a:c m"),
        ("PING a:x", "PING a:x"),
    ] {
        assert_eq!(
            stripped(&cmd(line), "a:").unwrap().as_bytes(),
            cmd(expected),
            "{line}"
        );
    }
    let long = [b"a:".as_slice(), &[b'k'; 100]].concat();
    let expected = array(&[b"GET", &[b'k'; 100]]);
    assert_eq!(
        stripped(&array(&[b"GET", &long]), "a:").unwrap().as_bytes(),
        expected
    );
    assert_eq!(
        stripped(b"GET a:k\r\n", "a:").unwrap().as_bytes(),
        cmd("GET k")
    );
    assert_eq!(
        stripped(&array(&[b"GET", b"a:"]), "a:").unwrap().as_bytes(),
        array(&[b"GET", b""])
    );
}

#[test]
fn nothing_else_of_a_command_can_be_changed() {
    let bytes = cmd("GET k");
    let request = sent("GET k");
    let set = Edit::Set {
        name: "key".into(),
        value: "x".into(),
    };
    let remove = Edit::Remove { name: "key".into() };
    let strip = Edit::StripPrefix {
        name: "command".into(),
        prefix: "G".into(),
        ignore_case: false,
    };
    for edit in [set, remove, strip] {
        let mut out = Vec::new();
        let done = client()
            .codec
            .edit(whole(&bytes, &request.memo), &[edit], &mut out);
        assert_eq!((done, out.len()), (Err(EditRefused::NoPlace), 0));
    }
    let head = Frame {
        bytes: &bytes[..15],
        whole: false,
        memo: &request.memo,
    };
    let strip = Edit::StripPrefix {
        name: "key".into(),
        prefix: "k".into(),
        ignore_case: false,
    };
    let mut out = Vec::new();
    let done = client().codec.edit(head, &[strip], &mut out);
    assert_eq!((done, out.len()), (Err(EditRefused::TooLarge), 0));
}
