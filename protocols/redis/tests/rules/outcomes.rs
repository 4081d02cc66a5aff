//! Whose fault an answer is (decision 2), and where it sends the request instead.

use meltemi_codec::{Memo, Node, Outcome};

use crate::legs::{Server, configured, whole};

fn outcome(answer: &str) -> Outcome {
    let follows = configured(&[("enableRedirection", "true")]);
    let (server, _, _) = Server::of(&*follows, None, false);
    server
        .codec
        .outcome(whole(answer.as_bytes(), &Memo::default()))
}

#[test]
fn errors_say_whose_fault_they_are() {
    let code = 0;
    for (answer, expected) in [
        ("+OK\r\n", Outcome::Ok { code }),
        ("$-1\r\n", Outcome::Ok { code }),
        ("*1\r\n-ERR in an element\r\n", Outcome::Ok { code }),
        (
            "-ERR unknown command 'x'\r\n",
            Outcome::RequestError { code },
        ),
        ("!9\r\nERR wrong\r\n", Outcome::RequestError { code }),
        (
            "|1\r\n+a\r\n:1\r\n-ERR x\r\n",
            Outcome::RequestError { code },
        ),
        (
            "-NOAUTH Authentication required.\r\n",
            Outcome::RequestError { code },
        ),
        ("-WRONGPASS x\r\n", Outcome::RequestError { code }),
        ("-NOPERM x\r\n", Outcome::RequestError { code }),
        ("-CROSSSLOT x\r\n", Outcome::RequestError { code }),
        ("-WRONGTYPE x\r\n", Outcome::ApplicationError { code }),
        ("-NOSCRIPT x\r\n", Outcome::ApplicationError { code }),
        ("-EXECABORT x\r\n", Outcome::ApplicationError { code }),
        (
            "-OOM command not allowed\r\n",
            Outcome::ApplicationError { code },
        ),
        ("-MYSCRIPT says no\r\n", Outcome::ApplicationError { code }),
        ("-MISCONF x\r\n", Outcome::SystemError { code }),
        ("-LOADING x\r\n", Outcome::TryLater { code }),
        ("-TRYAGAIN x\r\n", Outcome::TryLater { code }),
        ("-CLUSTERDOWN x\r\n", Outcome::TryLater { code }),
        ("-MASTERDOWN x\r\n", Outcome::TryLater { code }),
        ("-BUSY x\r\n", Outcome::TryLater { code }),
        ("-READONLY x\r\n", Outcome::TryLater { code }),
        ("-NOREPLICAS x\r\n", Outcome::TryLater { code }),
    ] {
        assert_eq!(outcome(answer), expected, "{answer}");
    }
}

fn redirect(host: &str, port: u16, once: bool) -> Outcome {
    let to = Node {
        host: host.into(),
        port,
    };
    Outcome::Redirect { to, once }
}

#[test]
fn another_node_is_named_as_redis_names_it() {
    for (answer, expected) in [
        (
            "-MOVED 3999 127.0.0.1:6381\r\n",
            redirect("127.0.0.1", 6381, false),
        ),
        (
            "-ASK 3999 127.0.0.1:6381\r\n",
            redirect("127.0.0.1", 6381, true),
        ),
        ("-MOVED 3999 :6381\r\n", redirect("", 6381, false)),
        (
            "-MOVED 3999 2001:db8::1:6381\r\n",
            redirect("2001:db8::1", 6381, false),
        ),
        (
            "-MOVED 3999 redis-0.example:6381\r\n",
            redirect("redis-0.example", 6381, false),
        ),
    ] {
        assert_eq!(outcome(answer), expected, "{answer}");
    }
    for answer in [
        "-MOVED\r\n",
        "-MOVED 1\r\n",
        "-MOVED 1 x\r\n",
        "-MOVED 1 x:99999\r\n",
    ] {
        assert_eq!(
            outcome(answer),
            Outcome::ApplicationError { code: 0 },
            "{answer}"
        );
    }
}

#[test]
fn a_redirect_that_is_not_followed_is_an_answer() {
    let of = |settings: &[(&str, &str)]| {
        let (server, _, _) = Server::of(&*configured(settings), None, false);
        server
            .codec
            .outcome(whole(b"-MOVED 1 h:1\r\n", &Memo::default()))
    };
    let off = ("enableRedirection", "false");
    assert_eq!(of(&[off]), Outcome::ApplicationError { code: 0 });
    assert_eq!(of(&[off, ("mode", "CLUSTER")]), redirect("h", 1, false));
    assert_eq!(
        of(&[("mode", "PROXY")]),
        Outcome::ApplicationError { code: 0 },
        "unless asked for, no request is kept to be sent again"
    );
    assert_eq!(
        of(&[("enableRedirection", "true")]),
        redirect("h", 1, false)
    );
}
