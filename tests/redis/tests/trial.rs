//! What a user may not do is found before anybody asks for it.
#![cfg(test)]

use weir::store::redis::{Clock, Codec, Forbidden, Moment, Value, acl};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server};

fn forbidden(connection: &mut Connection, codec: &Codec) -> Vec<&'static str> {
    let command = codec.trial(Moment { now: Instant::default(), nonce: 7 });
    let value = connection.run(&command).unwrap();
    let forbidden: Forbidden = codec.tried(&command, value).unwrap().answer;
    forbidden.names().collect()
}

/// As an operator writes it.
fn set_user(operator: &mut Connection, rules: &str) {
    let words: Vec<&str> = ["ACL", "SETUSER", "weir", "reset", "on", ">pass"]
        .into_iter()
        .chain(rules.split_whitespace())
        .collect();
    operator.call(&words).unwrap();
}

#[test]
fn whatever_is_forbidden_is_named_and_the_manuals_line_forbids_nothing() {
    let server = Server::start();
    let (mut operator, mut user) = (server.connect(), server.connect());
    let (rules, codec) = (acl("default"), Codec::new("default", Clock::Server));
    set_user(&mut operator, &rules);
    user.call(&["AUTH", "weir", "pass"]).unwrap();
    assert_eq!(forbidden(&mut user, &codec), [""; 0]);
    let mut tried = 0;
    for command in rules.split_whitespace().filter_map(|rule| rule.strip_prefix('+')) {
        if ["eval", "evalsha", "ping", "select", "time"].contains(&command) {
            continue;
        }
        set_user(&mut operator, &format!("{rules} -{command}"));
        user.call(&["AUTH", "weir", "pass"]).unwrap();
        assert_eq!(forbidden(&mut user, &codec), [command]);
        tried += 1;
    }
    assert!(tried > 30, "{tried}");
    // Nothing of it stays.
    set_user(&mut operator, &rules);
    user.call(&["AUTH", "weir", "pass"]).unwrap();
    assert_eq!(forbidden(&mut user, &codec), [""; 0]);
    assert_eq!(operator.call(&["DBSIZE"]), Ok(Value::Int(0)));
}

#[test]
fn the_manual_says_what_a_user_needs() {
    let manual =
        include_str!("../../../shared/manual/store.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(manual.contains(&acl("default")), "write into shared/manual/store.md:\n{}", acl("default"));
}
