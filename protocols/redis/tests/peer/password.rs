//! Clients of a server with users and passwords.

use super::scenarios::Scenario;

/// At a server that asks for a password, with `user` and `limited` among its users.
pub const PASSWORD: &[Scenario] = &[
    secret(
        "no password",
        &[
            ("GET k", 1),
            ("PING", 1),
            ("HELLO", 1),
            ("HELLO 3", 1),
            ("SUBSCRIBE c", 1),
            ("RESET", 1),
            ("QUIT", 1),
        ],
    ),
    secret(
        "passwords",
        &[
            ("AUTH wrong", 1),
            ("GET k", 1),
            ("AUTH secret", 1),
            ("SET k v", 1),
            ("GET k", 1),
            ("AUTH user wrong", 1),
            ("ACL WHOAMI", 1),
            ("AUTH user pass", 1),
            ("ACL WHOAMI", 1),
            ("SELECT 1", 1),
            ("ACL WHOAMI", 1),
            ("GET k", 1),
            ("RESET", 1),
            ("GET k", 1),
            ("AUTH default secret", 1),
            ("ACL WHOAMI", 1),
            ("GET k", 1),
        ],
    ),
    secret(
        "permissions",
        &[
            ("AUTH limited pass", 1),
            ("GET k", 1),
            ("SET k v", 1),
            ("SUBSCRIBE a b", 1),
            ("UNSUBSCRIBE", 1),
            ("SUBSCRIBE a b", 1),
            ("GET k", 1),
            ("MULTI", 1),
            ("SET k v", 1),
            ("EXEC", 1),
            ("MULTI", 1),
            ("GET k", 1),
            ("EXEC", 1),
            ("WATCH k", 1),
            ("UNWATCH", 1),
            ("FLUSHALL", 1),
            ("NOSUCH", 1),
            ("COMMAND COUNT", 1),
        ],
    ),
    secret(
        "a password in a transaction",
        &[
            ("AUTH secret", 1),
            ("WATCH k", 1),
            ("AUTH user pass", 1),
            ("ACL WHOAMI", 1),
            ("GET k", 1),
            ("RESET", 1),
            ("GET k", 1),
            ("AUTH secret", 1),
            ("ACL WHOAMI", 1),
        ],
    ),
];

const fn secret(name: &'static str, lines: &'static [(&'static str, usize)]) -> Scenario {
    Scenario {
        name,
        admin: Some("AUTH secret"),
        before: &[
            "ACL SETUSER user on >pass ~* &* +@all",
            "ACL SETUSER limited on >pass ~* +@all -set -subscribe -multi",
            "ACL SETUSER limited +multi -flushall",
        ],
        lines,
    }
}
