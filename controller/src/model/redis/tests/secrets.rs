//! Where a password comes from, and what becomes of it when somebody takes it away.

use super::*;
use crate::fixture::SECRETS;

#[test]
fn a_secret_that_changes_changes_what_is_served() {
    let fixture = Fixture::redis();
    let (mut controller, _) = loaded(&fixture);
    fixture.edit("secret.yaml", "hunter2", "swordfish");
    let report = controller.reload().unwrap().report;
    assert!(report.is_valid(), "{report}");
    let told = told(&controller.model().servers[0].policy.settings);
    assert!(told.contains(&"password=swordfish (secret)".to_owned()));
}

/// Which fields a Secret has, which are asked for, and what comes of it.
type Lookup = (
    &'static str,
    &'static str,
    Result<&'static str, &'static str>,
);

const LOOKUPS: [Lookup; 12] = [
    ("password: a, token: b", "", Ok("password=a (secret)")),
    ("token: ' b '", "", Ok("password=b (secret)")),
    (
        "username: u, token: b",
        "",
        Ok("username=u (secret) password=b (secret)"),
    ),
    (
        "username: u, me: m, x: b",
        ", passwordField: x, usernameField: me",
        Ok("username=m (secret) password=b (secret)"),
    ),
    ("pass: b", "", Err("no field `password` or `token`")),
    ("pass: b", "", Err("its fields are pass")),
    ("password: b", ", passwordField: x", Err("no field `x`")),
    ("password: b", ", usernameField: me", Err("no field `me`")),
    (
        "password: ''",
        "",
        Err("the field `password` of Secret default/clients is empty"),
    ),
    (
        "password: b, username: ' '",
        "",
        Err("the field `username`"),
    ),
    ("", "", Err("it has none")),
    (
        "password: b",
        ", name: client",
        Err("did you mean `clients`?"),
    ),
];

fn credentials_of(server: &Server) -> String {
    let secret = |s: &&Setting| matches!(s.value, SettingValue::Secret(_));
    let settings = server.policy.settings.iter().filter(secret).cloned();
    told(&settings.collect::<Vec<_>>()).join(" ")
}

#[test]
fn fields_of_a_secret() {
    for (fields, asked, expected) in LOOKUPS {
        let fixture = Fixture::redis();
        fixture.edit(
            "secret.yaml",
            "stringData: {username: app, password: hunter2}",
            &format!("stringData: {{{fields}}}"),
        );
        let name = if asked.contains("name:") {
            ""
        } else {
            "name: clients"
        };
        let reference = format!("{{{name}{asked}}}").replace("{, ", "{");
        fixture.edit("redis.yaml", "{name: clients}", &reference);
        let (controller, report) = loaded(&fixture);
        let server = &controller.model().servers[0];
        match expected {
            Ok(expected) => {
                assert!(report.is_valid(), "{fields}: {report}");
                assert_eq!(credentials_of(server), expected, "{fields}");
            }
            Err(complaint) => {
                assert_eq!(report.errors(), 1, "{fields}: {report}");
                assert!(report.to_string().contains(complaint), "{fields}: {report}");
                // Without a password that is known nobody is served.
                assert!(server.rules.is_empty(), "{fields}");
            }
        }
    }
}

/// What somebody does to a Secret that is needed.
const TAKEN_AWAY: [fn(&Fixture); 4] = [
    |f| f.remove("secret.yaml"),
    |f| f.edit("secret.yaml", "password: hunter2", "pass: hunter2"),
    |f| f.edit("secret.yaml", "password: hunter2", "password: [hunter2]"),
    |f| f.edit("secret.yaml", "name: clients", "name: others"),
];

#[test]
fn a_secret_that_is_needed_stays() {
    for take_away in TAKEN_AWAY {
        let fixture = Fixture::redis();
        let mut controller = Controller::open(&fixture.paths(), redis_settings());
        let first = controller.load();
        assert!(first.report.is_valid(), "{}", first.report);
        take_away(&fixture);
        let update = controller.reload().unwrap();
        assert!(update.report.errors() > 0, "{}", update.report);
        assert_eq!(update.resources, first.resources, "{}", update.report);
        for secret in SECRETS {
            assert!(
                !update.report.to_string().contains(secret),
                "{}",
                update.report
            );
        }
    }
}

#[test]
fn who_names_a_secret_that_is_not_there_keeps_what_was() {
    let fixture = Fixture::redis();
    let mut controller = Controller::open(&fixture.paths(), redis_settings());
    let first = controller.load();
    fixture.edit("redis.yaml", "{name: clients}", "{name: nobody}");
    fixture.edit("redis.yaml", "1.5s", "9s");
    let update = controller.reload().unwrap();
    assert_eq!(update.report.errors(), 1, "{}", update.report);
    assert_eq!(update.resources, first.resources);
}
