//! Where Redis is, in one line.

use weir::config::{Redis, Transport};

/// `redis://[[user]:password@]host:port/database`, or `rediss://`. It holds the password: it is shown to nobody but
/// the runtime.
pub(crate) fn address(place: &Redis) -> String {
    let Redis { host, port, transport, user, password, database, namespace: _, timeout: _ } = place;
    let scheme = match transport {
        Transport::Plain => "redis",
        Transport::Tls => "rediss",
    };
    let account = match (user, password) {
        (None, None) => String::new(),
        (user, password) => {
            let user = escaped(user.as_deref().unwrap_or_default());
            format!("{user}:{}@", escaped(password.as_ref().map_or("", |password| password.expose())))
        }
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    format!("{scheme}://{account}{host}:{port}/{database}")
}

/// With everything percent-encoded that is no unreserved character (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => {
                escaped.push('%');
                for digit in [byte >> 4, byte & 15] {
                    escaped
                        .extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_what_is_said() {
        for (read, said) in [
            ("redis://h", "redis://h:6379/0"),
            ("rediss://h.example:6380/3", "rediss://h.example:6380/3"),
            ("redis://:p%40%3A%2F@h:1/", "redis://:p%40%3A%2F@h:1/0"),
            ("redis://u:p~é@[::1]:7/2", "redis://u:p~%C3%A9@[::1]:7/2"),
        ] {
            let place = Redis::at(read).unwrap();
            assert_eq!(address(&place), said, "{read}");
            assert_eq!(Redis::at(said), Some(place), "{read}");
        }
    }
}
